"""Level 1: each exported graph against what its torch module made of the same inputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from v2v_runtime.dtypes import numpy_dtype

from v2v_export.verify.arrays import ArrayReader
from v2v_export.verify.budget import Budget
from v2v_export.verify.compare import Difference, Tolerance, difference, kind_of
from v2v_export.verify.order import Work, in_turn
from v2v_export.verify.sessions import PER_WEIGHT, session
from v2v_export.verify.tapped import TapSpec, picture_taps


@dataclass(frozen=True)
class GraphCheck:
    """One graph on one set of inputs.

    Attributes:
        inputs: ``example`` or ``random``, with ``, 1 row`` where axis 0 of its row ports was cut to one.
    """

    graph: str
    inputs: str
    differences: tuple[Difference, ...]


def check_graphs(
    recorded: Path,
    specs: Sequence[TapSpec],
    files: Mapping[str, Path],
    float_type: Literal["float16", "float32"],
    tolerance: Tolerance,
    budget: Budget,
    macs: Mapping[str, float],
    weights: Mapping[str, int],
    left: list[str],
    progress: Callable[[str], None] = lambda text: None,
) -> Iterator[GraphCheck]:
    """Runs the graphs that have a recording through ONNX Runtime's CPU provider, one session at a time; in
    which order, ``order`` says.

    Args:
        recorded: what ``modules.record_modules`` wrote.
        files: graph -> its ONNX file with its taps as outputs.
        float_type: what ``"float"`` is in those files.
        macs: graph -> multiply-adds of one run.
        weights: graph -> numbers in its weights.
        left: told what there was no time for.
    """
    reader = ArrayReader(recorded)
    known = {spec.name: spec for spec in specs if spec.name in reader.index}
    works = [
        Work(
            name,
            macs.get(name, 0.0),
            PER_WEIGHT * weights.get(name, 0),
            [(case["inputs"], case) for case in reader.index[name]],
        )
        for name in known
    ]

    def opened(work: Work[Any]) -> Callable[[str, Any], GraphCheck]:
        progress(f"graph {work.graph} against its module")
        spec, running = known[work.graph], session(files[work.graph])

        def run(label: str, case: Any) -> GraphCheck:
            given = {
                port: reader.read(entry).astype(numpy_dtype(spec.inputs[port].dtype, float_type), copy=False)
                for port, entry in case["given"].items()
            }
            # Taps first: the float picture says more than the uint8 one that is made from it.
            names = [*spec.taps, *spec.outputs]
            begin = time.perf_counter()
            seen = dict(zip(names, running.run(names, given), strict=True))
            budget.took(work.macs, time.perf_counter() - begin)
            del given
            pictures = picture_taps(spec).values()
            found: list[Difference] = []
            for name in names:
                expected = reader.read(case["expected"][name])
                kind: Any = kind_of(expected, picture=name in pictures)
                found.append(difference(name, seen.pop(name), expected, kind, tolerance))
            return GraphCheck(spec.name, label, tuple(found))

        return run

    yield from in_turn(works, budget, opened, left)
