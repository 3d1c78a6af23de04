"""Which variants of the graphs the targets need, and which backend each target uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from v2v_export.errors import BuildError
from v2v_export.system import GraphOptions, System
from v2v_export.targets.base import Builder, builder

if TYPE_CHECKING:
    from v2v_export.profiles import Profile

_SHORT = {"float32": "fp32", "float16": "fp16"}


@dataclass(frozen=True)
class TargetPlan:
    """One target to build.

    Attributes:
        profile: its profile.
        builder: the builder of its backend.
        version: the exact version of what builds.
        variant: name of the variant that it plays.
        options: that variant.
    """

    profile: Profile
    builder: Builder
    version: str
    variant: str
    options: GraphOptions

    @property
    def name(self) -> str:
        """The target's folder name."""
        return f"{self.profile.name}.{self.builder.name}"


def plan_target(profile: Profile, system: System, note: Callable[[str], None]) -> TargetPlan:
    """Chooses the backend (the profile's first one that works here) and the variant.

    Args:
        note: told in words what a user might not expect.

    Raises:
        BuildError: no backend of the profile works here (V2V-E7112).
    """
    if profile.note and profile.name != "cpu":
        note(f"{profile.name}: {profile.note}")
    reasons: list[str] = []
    for backend in profile.backends:
        found = builder(backend)
        state = found.available()
        if state.ok:
            if reasons:
                note(f"{profile.name}: {backend} takes the place of {'; '.join(reasons)}")
            options = graph_options(profile, backend, system)
            return TargetPlan(profile, found, state.version, variant_name(options, system), options)
        reasons.append(f"{backend} ({state.reason})")
    raise BuildError(
        "V2V-E7112",
        f"no backend of profile {profile.name} can build here: {'; '.join(reasons)}",
        "one that works",
        "install what is named there, or choose another profile",
    )


def graph_options(profile: Profile, backend: str, system: System) -> GraphOptions:
    """The variant of ``system`` for a backend of a profile: for each of its families the profile's form.

    A form that the system does not have, or a family that the profile is silent on, gives the system's
    default.
    """
    forms: Mapping[str, Any] = profile.lowering.get(backend, {})
    lowering = {}
    for family, choices in system.lowerings.items():
        form = forms[family].form if family in forms else choices[0]
        lowering[family] = form if form in choices else choices[0]
    return GraphOptions(profile.float_type, lowering)


def variant_name(options: GraphOptions, system: System) -> str:
    """A name that is the same for the same choices: ``fp32``, ``fp16-gridsample`` (defaults are left out)."""
    forms = [
        options.lowering[family]
        for family, choices in system.lowerings.items()
        if options.lowering.get(family, choices[0]) != choices[0]
    ]
    return "-".join([_SHORT[options.float], *forms])
