"""Device memory that a stream needs on a profile, and the refusal of what cannot fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from v2v_runtime.dtypes import numpy_dtype
from v2v_runtime.manifest.model import Graph, Program, Variant

from v2v_export.errors import RecipeError
from v2v_export.explain.state import StateBytes, count_state
from v2v_export.profiles import Profile, load_profile, profile_names

_GIB = 1 << 30


@dataclass(frozen=True)
class EngineBytes:
    """What one loaded graph holds.

    Attributes:
        weights: constants in the type that the variant plays.
        activations: scratch of one run. Before a build it is an estimate (``Traffic.activations``), after it
            the engine's own exact figure.
        exact: it comes from a built engine.
    """

    weights: int
    activations: int
    exact: bool = False


@dataclass(frozen=True)
class PhaseMemory:
    """What is on the device while a phase runs: the engines that are loaded then, and its temporaries."""

    graphs: tuple[str, ...]
    weights: int
    activations: int
    temporaries: int

    @property
    def total(self) -> int:
        return self.weights + self.activations + self.temporaries


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
        phases[phase.name] = PhaseMemory(
            graphs=loaded,
            weights=sum(engines[name].weights for name in loaded),
            activations=sum(engines[name].activations for name in loaded),
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
    engines = {name: EngineBytes(weight_counts.get(name, 0) * wide, 0) for name in graphs}
    return replace(estimate_memory(program, graphs, state, engines, profile), least=True)


def _commit(state: StateBytes) -> int:
    return sum(state.second.values()) + sum(state.staged.values())


def check_memory(estimate: MemoryEstimate, graphs: Mapping[str, Graph], profile: Profile) -> None:
    """Refuses what cannot fit.

    Args:
        graphs: to tell which could be loaded for their phase alone.

    Raises:
        RecipeError: V2V-E5201, with each part's size and the levers, those that help most first.
    """
    if estimate.total <= estimate.available:
        return
    worst = estimate.phases[estimate.worst]
    parts = {
        "weights": worst.weights,
        "activations": worst.activations,
        "state": estimate.lasting,
        "temporaries": worst.temporaries,
    }
    bound = "at least" if estimate.least else "about"
    raise RecipeError(
        "V2V-E5201",
        f"the stream needs {bound} {_gib(estimate.total)} on {profile.name} in phase {estimate.worst!r}: "
        + ", ".join(f"{name} {_gib(nbytes)}" for name, nbytes in parts.items()),
        f"at most {_gib(estimate.available)}: {profile.memory_gib.value:g} GiB, less "
        f"{profile.reserve_gib.value:g} GiB that driver, context and display take",
        "; ".join(_levers(parts, estimate, graphs, profile)),
    )


def _levers(
    parts: Mapping[str, int], estimate: MemoryEstimate, graphs: Mapping[str, Graph], profile: Profile
) -> list[str]:
    worst = estimate.phases[estimate.worst]
    loadable = [name for name in worst.graphs if name in graphs and graphs[name].resident == "always"]
    half = ["precision fp16 halves it"] if profile.precision == "fp32" else []
    phase = [f"graphs resident by phase (now always: {', '.join(loadable)})"] if len(loadable) > 1 else []
    # A tenth of it is worth a word.
    copies = estimate.commit * 10 >= estimate.lasting > 0
    in_place = [f"caches written in place ({_gib(estimate.commit)} of it wait for commits)"] if copies else []
    helps = {
        "weights": [*half, *phase],
        "activations": ["a smaller frame size", *half],
        "state": ["fewer denoising steps (rows)", "a smaller frame size", "shorter rings", *in_place, *half],
        "temporaries": ["a smaller frame size, or fewer frames gathered per step"],
    }
    levers = []
    for name in sorted(parts, key=lambda part: -parts[part]):
        if parts[name] * 10 >= estimate.total and helps[name]:
            levers.append(f"{name}: {', '.join(helps[name])}")
    if larger := _larger(estimate.total):
        levers.append(f"or a GPU with more memory: {', '.join(larger)}")
    return levers


def _larger(total: int) -> list[str]:
    """Shipped GPU profiles with room for ``total``, the smallest first, at most three."""
    boards = [profile for profile in map(load_profile, profile_names()) if profile.compute_capability]
    room = {board.name: (board.memory_gib.value - board.reserve_gib.value) * _GIB for board in boards}
    return sorted((name for name in room if room[name] >= total), key=lambda name: room[name])[:3]


def _gib(nbytes: int) -> str:
    return f"{nbytes / _GIB:.2f} GiB"
