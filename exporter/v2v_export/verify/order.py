"""In what order graphs are looked at: each once before any of them twice, the cheapest first.

Both sides, modules and exported graphs, hold one graph's weights at a time, and to take them up again costs
as much as a comparison. So further inputs follow at once where that leaves time for what has not been looked
at yet, and wait until the end where it does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from v2v_export.verify.budget import Budget

Inputs = TypeVar("Inputs")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Work(Generic[Inputs]):
    """One graph's comparisons.

    Attributes:
        macs: multiply-adds of one run.
        memory: bytes that a run takes, its weights among them.
        inputs: label -> what is run; the first one matters most.
    """

    graph: str
    macs: float
    memory: float
    inputs: Sequence[tuple[str, Inputs]]


@dataclass(frozen=True)
class _Waiting(Generic[Inputs]):
    """Further inputs that wait until each graph was looked at; ``seconds``: what opening it took."""

    work: Work[Inputs]
    inputs: Sequence[tuple[str, Inputs]]
    seconds: float


def in_turn(
    works: Sequence[Work[Inputs]],
    budget: Budget,
    opened: Callable[[Work[Inputs]], Callable[[str, Inputs], Result]],
    left: list[str],
) -> Iterator[Result]:
    """Runs what the budget allows.

    Args:
        opened: takes up a graph's weights, and gives what runs it and tells the budget how long that took;
            the weights are let go with it.
        left: told what was left out, in words.
    """
    ordered = sorted(works, key=lambda work: work.macs)
    waiting: list[_Waiting[Inputs]] = []
    for index, work in enumerate(ordered):
        if why := budget.refuse(work.macs, work.memory):
            left.append(f"graph {work.graph} against its module: it would take {why}")
            continue
        begin = time.perf_counter()
        run = opened(work)
        seconds = time.perf_counter() - begin
        needed = [(later.macs, later.memory) for later in ordered[index + 1 :]]
        for done, (label, inputs) in enumerate(work.inputs):
            if done and not budget.spares(work.macs, needed):
                waiting.append(_Waiting(work, work.inputs[done:], seconds))
                break
            yield run(label, inputs)
        del run
    for item in waiting:
        yield from _further(item, budget, opened, left)


def _further(
    item: _Waiting[Inputs],
    budget: Budget,
    opened: Callable[[Work[Inputs]], Callable[[str, Inputs], Result]],
    left: list[str],
) -> Iterator[Result]:
    work, done = item.work, 0
    why = budget.refuse(work.macs, work.memory, item.seconds)
    run = None if why else opened(work)
    while run is not None and done < len(item.inputs) and not (why := budget.refuse(work.macs)):
        yield run(*item.inputs[done])
        done += 1
    if done < len(item.inputs):
        labels = "; ".join(label for label, _ in item.inputs[done:])
        left.append(f"graph {work.graph} on further inputs ({labels}): they would take {why}")
