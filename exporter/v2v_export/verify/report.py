"""What verification found: the checks of one target, the first miss, and what was not looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from v2v_export.errors import VerdictError
from v2v_export.families import families
from v2v_export.verify.compare import Difference, Tolerance
from v2v_export.verify.graphs import GraphCheck
from v2v_export.verify.steps import StepCheck

Level = Literal["graph", "step", "stream", "poison", "selftest"]
Verdict = Literal["passed", "differs", "not run here"]

_CODES = {
    "graph": "V2V-E8001",
    "step": "V2V-E8002",
    "stream": "V2V-E8003",
    "poison": "V2V-E8005",
    "selftest": "V2V-E8006",
}
_NOT_FINITE = "V2V-E8004"
_OVERFLOW = (
    "nothing can be compared with what is no number, and no graph is to blame: look for weights that are too "
    "large for float32, or weights that do not belong to this system"
)
_FIXES = {
    "graph": "this graph computes something else than its torch module: look at its lowerings, the bodies of "
    "its custom ops and its precision",
    "step": "each graph equals its module, so look at what this step reads and writes in the program, and at "
    "where the modules differ from the reference",
    "stream": "each step alone is right, so look at what is carried from step to step: a slot that is not "
    "written, or errors that add up",
    "poison": "select the entry that is about to be overwritten away with Where, or write it from a copy",
    "selftest": "the target plays other than its graphs do: look at its options and engines",
}


@dataclass(frozen=True)
class Miss:
    """The first thing that left its tolerance.

    Attributes:
        own: of a graph, how far rounding takes its torch module there (``conditioning``); None: not asked.
    """

    level: Level
    graph: str
    where: str
    what: str
    finite: bool = True
    reference_finite: bool = True
    own: Difference | None = None

    def error(self, target: str) -> VerdictError:
        """The error that ends the command with exit status 3."""
        name = f"graph {self.graph}, " if self.graph else ""
        fix = self._fix() if self.reference_finite else _OVERFLOW
        code = _CODES[self.level] if self.finite else _NOT_FINITE
        return VerdictError(code, f"{target}: {name}{self.where}: {self.what}", "", fix)

    def _fix(self) -> str:
        if self.own is None:
            return _FIXES[self.level]
        if self.own.within:
            return f"{_FIXES[self.level]}. It is not rounding, which takes the module {self.own.apart} away"
        if not self.own.finite:
            return (
                "this graph's torch module gives no number here either in the variant's precision: compute "
                "what overflows in float32, or look for weights that are too large for float16"
            )
        return (
            f"rounding alone takes this graph's torch module {self.own.apart} away, and no export can be "
            "held to less: look for what magnifies rounding (a norm over few numbers, a difference of large "
            "ones, weights that do not belong together), compute that in float32, take larger frames, or "
            "widen the tolerance under [verify]"
        )


@dataclass(frozen=True)
class SelfTest:
    """The bundle's own frames on the target as it will be played."""

    frames: int
    largest: int
    allowed: int


@dataclass
class Report:
    """One target.

    Attributes:
        target: its folder's name.
        played: how the graphs were run, in words.
        graphs, steps, stream: the checks of levels 1, 2 and 3.
        crossed: what the teacher-forced steps crossed, in words.
        poisoned: steps whose in-place entries were overwritten with NaN beforehand, and made no difference.
        as_target: the graphs and the stream above were run by the target's own backend, as it does.
        selftest: None if the target cannot run here, or the bundle carries none.
        on_target: levels 2 and 3 on the target's own engines, where another backend judged before.
        not_verified: what was not looked at, in words.
    """

    target: str
    variant: str
    tolerance: Tolerance
    full: bool
    played: str = ""
    graphs: list[GraphCheck] = field(default_factory=list)
    steps: list[StepCheck] = field(default_factory=list)
    stream: list[StepCheck] = field(default_factory=list)
    crossed: list[str] = field(default_factory=list)
    poisoned: int = 0
    as_target: bool = False
    selftest: SelfTest | None = None
    on_target: list[StepCheck] = field(default_factory=list)
    not_verified: list[str] = field(default_factory=list)
    miss: Miss | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing missed; ``verdict`` tells whether the target was played at all."""
        return self.miss is None

    @property
    def ran(self) -> bool:
        """Whether the target's own backend ran anything of it: the self-test, or a level."""
        levels = self.graphs or self.steps or self.stream
        return self.selftest is not None or bool(self.on_target) or (self.as_target and bool(levels))

    @property
    def verdict(self) -> Verdict:
        """``not run here``: what was run passed, and was run by another backend than the target's own."""
        if self.miss is not None:
            return "differs"
        return "passed" if self.ran else "not run here"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON: for ``target.json`` and ``--json``."""
        return {
            "verdict": self.verdict,
            "passed": self.verdict == "passed",
            "level": "full" if self.full else "build",
            "variant": self.variant,
            "played": self.played,
            "tolerance": {
                "picture": self.tolerance.picture,
                "feature_deviations": self.tolerance.of("feature"),
                "levels": self.tolerance.levels,
            },
            "graphs": {
                graph: _largest(d for check in self.graphs if check.graph == graph for d in check.differences)
                for graph in dict.fromkeys(check.graph for check in self.graphs)
            },
            "teacher_forced": {
                "steps": len(self.steps),
                "crossed": self.crossed,
                **_largest(d for check in self.steps for _, d in check.differences),
            },
            "free_running": {
                "steps": len(self.stream),
                **_largest(d for check in self.stream for _, d in check.differences),
            },
            "poisoned_steps": self.poisoned,
            "selftest": None
            if self.selftest is None
            else {
                "frames": self.selftest.frames,
                "levels": self.selftest.largest,
                "allowed": self.selftest.allowed,
            },
            "on_target": {
                "steps": len(self.on_target),
                **_largest(d for check in self.on_target for _, d in check.differences),
            },
            "not_verified": self.not_verified,
            "miss": None
            if self.miss is None
            else {
                "level": self.miss.level,
                "graph": self.miss.graph,
                "where": self.miss.where,
                "what": self.miss.what,
            },
        }

    def packed(self) -> dict[str, Any]:
        """Everything, for another process; JSON but for infinities, which ``json`` writes and reads."""
        return asdict(self)

    @staticmethod
    def unpacked(data: Mapping[str, Any]) -> Report:
        """What ``packed`` gave."""
        read: dict[str, Any] = dict(data)
        read["tolerance"] = Tolerance(**data["tolerance"])
        if miss := data["miss"]:
            read["miss"] = Miss(**{**miss, "own": _difference(miss["own"]) if miss["own"] else None})
        read["selftest"] = SelfTest(**data["selftest"]) if data["selftest"] else None
        read["graphs"] = [
            GraphCheck(one["graph"], one["inputs"], tuple(map(_difference, one["differences"])))
            for one in data["graphs"]
        ]
        for level in ("steps", "stream", "on_target"):
            read[level] = [
                StepCheck(**{**one, "differences": tuple((g, _difference(d)) for g, d in one["differences"])})
                for one in data[level]
            ]
        return Report(**read)

    def lines(self) -> list[str]:
        """For people: one line per check."""
        told = [f"variant {self.variant}: {self.played}"]
        for graph, found in self.as_dict()["graphs"].items():
            told.append(f"graph {graph} against its module: {_words(found)}")
        if self.steps:
            found = _largest(d for check in self.steps for _, d in check.differences)
            told.append(f"{len(self.steps)} teacher-forced steps: {_words(found)}")
            told.append(f"crossed: {'; '.join(self.crossed)}")
        if self.stream:
            found = _largest(d for check in self.stream for _, d in check.differences)
            told.append(f"{len(self.stream)} free-running steps: {_words(found)}")
        if self.poisoned:
            told.append(f"{self.poisoned} steps with in-place entries poisoned: no difference")
        if self.selftest is not None:
            told.append(
                f"self-test on the target itself: {self.selftest.frames} frames, "
                f"{self.selftest.largest} of {self.selftest.allowed} levels"
            )
        if self.on_target:
            found = _largest(d for check in self.on_target for _, d in check.differences)
            told.append(f"{len(self.on_target)} steps on the target's own engines: {_words(found)}")
        told += [f"not verified: {text}" for text in self.not_verified]
        return told


def _difference(data: Mapping[str, Any]) -> Difference:
    return Difference(**{**data, "where": tuple(data["where"])})


def _largest(differences: Any) -> dict[str, float | str]:
    """tensor -> the largest difference met, in the unit of its kind; text where it is no number."""
    found: dict[str, float] = {}
    for item in differences:
        found[item.tensor] = max(found.get(item.tensor, 0.0), item.largest)
    return {name: value if math.isfinite(value) else "not finite" for name, value in found.items()}


def _words(found: Mapping[str, float | str]) -> str:
    """``out 1, cross_k_00..15 1.2e-06``: of names that count up the largest; a word where one has it."""
    told = []
    for label, names in families(found).items():
        numbers = [value for name in names if isinstance(value := found[name], float)]
        words = [value for name in names if isinstance(value := found[name], str)]
        told.append(f"{label} {words[0] if words else f'{max(numbers):.2g}'}")
    return ", ".join(told)


def missed(check: GraphCheck) -> Difference | None:
    """The difference that a level 1 check is judged by, if one left its tolerance."""
    misses = [item for item in check.differences if not item.within]
    # What is no number explains the others.
    return next((item for item in misses if not item.finite), misses[0] if misses else None)


def first_miss_of_graph(check: GraphCheck) -> Miss | None:
    """The miss of a level 1 check, if it has one."""
    worst = missed(check)
    if worst is None:
        return None
    return Miss("graph", check.graph, f"on {check.inputs} inputs", *_what(worst))


def first_miss_of_step(check: StepCheck, level: Level) -> Miss | None:
    """The miss of a step, if it has one."""
    where = f"step {check.step} of phase {check.phase} (frame {check.frame})"
    if check.failed:
        return Miss(
            level, "", where, f"the step failed: {check.failed}", finite="V2V-E302" not in check.failed
        )
    for graph, item in check.differences:
        if not item.within:
            return Miss(level, graph, where, *_what(item))
    return None


def _what(item: Difference) -> tuple[str, bool, bool]:
    """A miss's ``what``, ``finite`` and ``reference_finite``."""
    if item.reference_finite:
        return str(item), item.finite, True
    return f"PyTorch itself computes NaN or infinity for {item.tensor}", False, False


__all__ = [
    "Level",
    "Miss",
    "Report",
    "SelfTest",
    "Verdict",
    "first_miss_of_graph",
    "first_miss_of_step",
    "missed",
]
