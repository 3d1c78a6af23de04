"""Device memory that a stream needs on a profile, and the refusal of what cannot fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from v2v_runtime.dtypes import numpy_dtype
from v2v_runtime.manifest.model import Graph, Program, Variant

from v2v_export.errors import RecipeError
from v2v_export.explain.state import StateBytes, count_state
from v2v_export.levers import Part
from v2v_export.profiles import Profile, load_profile, profile_names

_GIB = 1 << 30


@dataclass(frozen=True)
class EngineBytes:
    """What one loaded graph holds.

    Attributes:
        weights: constants in the type that the variant plays.
        activations: scratch of one run. Once there is a graph it is an estimate (``Traffic.activations``),
            once there is an engine its own exact figure; None before either.
        exact: it comes from a built engine.
    """

    weights: int
    activations: int | None
    exact: bool = False


@dataclass(frozen=True)
class PhaseMemory:
    """What is on the device while a phase runs: the engines that are loaded then, and its temporaries.

    Attributes:
        activations: None where those of an engine are not known yet; ``total`` is without them then.
    """

    graphs: tuple[str, ...]
    weights: int
    activations: int | None
    temporaries: int

    @property
    def total(self) -> int:
        return self.weights + (self.activations or 0) + self.temporaries


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that the stream needs and bytes that the profile has for it.

    Attributes:
        available: the profile's memory less its reserve.
        lasting: state, params and consts, held in every phase.
        phases: phase -> what it adds.
        commit: of ``lasting``, what steps write to until they commit: second buffers and staged entries.
        least: a lower bound, made before any graph was: without activations.
    """

    available: int
    lasting: int
    phases: Mapping[str, PhaseMemory]
    commit: int = 0
    least: bool = False

    @property
    def worst(self) -> str:
        """The phase that needs the most."""
        return max(self.phases, key=lambda name: self.phases[name].total)

    @property
    def total(self) -> int:
        return self.lasting + self.phases[self.worst].total


def estimate_memory(
    program: Program,
    graphs: Mapping[str, Graph],
    state: StateBytes,
    engines: Mapping[str, EngineBytes],
    profile: Profile,
) -> MemoryEstimate:
    """Adds up each phase: graphs that stay loaded, and those of its own calls.

    Every engine keeps its own activations; sharing them between engines is not assumed.
    """
    called = {phase.name: {call.graph for call in phase.calls} for phase in program.phases}
    always = {name for names in called.values() for name in names if graphs[name].resident == "always"}
    phases = {}
    for phase in program.phases:
        loaded = tuple(sorted(always | called[phase.name]))
        scratch = [engines[name].activations for name in loaded]
        known = [nbytes for nbytes in scratch if nbytes is not None]
        phases[phase.name] = PhaseMemory(
            graphs=loaded,
            weights=sum(engines[name].weights for name in loaded),
            activations=sum(known) if len(known) == len(scratch) else None,
            temporaries=state.temporaries[phase.name],
        )
    available = int((profile.memory_gib.value - profile.reserve_gib.value) * _GIB)
    return MemoryEstimate(available, state.lasting, phases, _commit(state))


def least_memory(
    program: Program,
    graphs: Mapping[str, Graph],
    weight_counts: Mapping[str, int],
    variant: Variant,
    profile: Profile,
) -> MemoryEstimate:
    """What the stream needs at the least, from declarations alone: nothing is loaded, no graph is made.

    Args:
        graphs: ports and residency, as the system declares them.
        weight_counts: ``Model.weight_counts``.
        variant: what "float" is, and what it changes of calls; its files are not looked at.
    """
    state = count_state(program, graphs, variant)
    wide = numpy_dtype("float", variant.float).itemsize
    engines = {name: EngineBytes(weight_counts.get(name, 0) * wide, None) for name in graphs}
    return replace(estimate_memory(program, graphs, state, engines, profile), least=True)


def _commit(state: StateBytes) -> int:
    return sum(state.second.values()) + sum(state.staged.values())


def check_memory(
    estimate: MemoryEstimate, profile: Profile, levers: Mapping[Part, Sequence[str]] | None = None
) -> None:
    """Refuses what cannot fit.

    Args:
        levers: what the recipe's options offer (``v2v_export.levers``).

    Raises:
        RecipeError: V2V-E5201, with each part's size and what a user can set, what helps most first.
    """
    if estimate.total <= estimate.available:
        return
    worst = estimate.phases[estimate.worst]
    parts: dict[Part, int | None] = {
        "weights": worst.weights,
        "activations": worst.activations,
        "state": estimate.lasting,
        "temporaries": worst.temporaries,
    }
    sizes = ", ".join(f"{name} {_gib(nbytes)}" for name, nbytes in parts.items() if nbytes is not None)
    raise RecipeError(
        "V2V-E5201",
        f"the stream needs {'at least' if estimate.least else 'about'} {_gib(estimate.total)} on "
        f"{profile.name} in phase {estimate.worst!r}: {sizes}"
        + (", and activations, which are not known before it is built" if estimate.least else "")
        + _others(estimate),
        f"at most {_gib(estimate.available)}: {profile.memory_gib.value:g} GiB, less "
        f"{profile.reserve_gib.value:g} GiB that driver, context and display take",
        "; ".join(_ways(parts, estimate, profile, levers or {})),
    )


def _others(estimate: MemoryEstimate) -> str:
    """How the other phases stand."""
    told = []
    for name, phase in estimate.phases.items():
        if name != estimate.worst:
            needed = estimate.lasting + phase.total
            fits = "would fit without activations" if estimate.least else "would fit"
            verdict = fits if needed <= estimate.available else "does not fit either"
            told.append(f"phase {name!r} {verdict} ({_gib(needed)})")
    return "".join(f"; {item}" for item in told)


def _ways(
    parts: Mapping[Part, int | None],
    estimate: MemoryEstimate,
    profile: Profile,
    levers: Mapping[Part, Sequence[str]],
) -> list[str]:
    """What a recipe, its profile or the command line can say so that less is needed, or more is there."""
    half = ['precision = "fp16" in the profile'] if profile.precision == "fp32" else []
    frame = ["a smaller frame: height and width under [frame]"]
    ways = []
    for part in sorted(parts, key=lambda part: -(parts[part] or 0)):
        # A tenth of it is worth a word.
        if (parts[part] or 0) * 10 >= estimate.total:
            general = half if part == "weights" else [*frame, *half]
            if named := [*levers.get(part, ()), *general]:
                ways.append(f"{part}: {', or '.join(named)}")
    if larger := _larger(estimate.total):
        least = ", at the least" if estimate.least else ""
        ways.append(f"or a GPU with more memory: --gpu {', '.join(larger)}{least}")
    return ways


def _larger(total: int) -> list[str]:
    """Shipped GPU profiles with room for ``total``, the smallest first, at most three."""
    boards = [profile for profile in map(load_profile, profile_names()) if profile.compute_capability]
    room = {board.name: (board.memory_gib.value - board.reserve_gib.value) * _GIB for board in boards}
    return sorted((name for name in room if room[name] >= total), key=lambda name: room[name])[:3]


def _gib(nbytes: int) -> str:
    return f"{nbytes / _GIB:.2f} GiB"
