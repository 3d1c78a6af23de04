"""Each graph is looked at before any is looked at twice, one at a time, and what is left out is said.

The clock is moved by the work alone. A budget is told at first that 2e9 multiply-adds take a second.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from v2v_export.verify import budget as budget_module
from v2v_export.verify.budget import Budget
from v2v_export.verify.order import Work, in_turn

PACE = 2e9
"""Multiply-adds a second."""


class Weights:
    """What a graph holds while it is open."""


@dataclass
class Machine:
    """Opens graphs and runs them.

    Attributes:
        opening: graph -> seconds to open it.
        slow: graph -> how many times longer than at ``PACE`` a run of it takes.
        done: what was done, in order.
    """

    opening: dict[str, float] = field(default_factory=dict)
    slow: dict[str, float] = field(default_factory=dict)
    now: float = 100.0
    done: list[str] = field(default_factory=list)
    held: list[weakref.ref[Weights]] = field(default_factory=list)

    def play(self, seconds: float, *works: Work[str]) -> list[str]:
        """Everything that a budget of ``seconds`` allows; returns what was left out."""
        budget, left = Budget(seconds), list[str]()
        budget.took(PACE, 1.0)
        answers = list(in_turn(works, budget, lambda work: self.opened(work, budget), left))
        assert answers == [event for event in self.done if not event.startswith("open")]
        return left

    def opened(self, work: Work[str], budget: Budget) -> Callable[[str, str], str]:
        assert all(held() is None for held in self.held), "the last one is still held"
        weights = Weights()
        self.held.append(weakref.ref(weights))
        self.done.append(f"open {work.graph}")
        self.now += self.opening.get(work.graph, 0.0)

        def run(label: str, inputs: str, weights: Weights = weights) -> str:
            assert inputs == f"inputs of {label}"
            seconds = self.slow.get(work.graph, 1.0) * work.macs / PACE
            self.now += seconds
            budget.took(work.macs, seconds)
            self.done.append(f"{work.graph} {label}")
            return self.done[-1]

        return run


def work(
    graph: str, seconds: float, memory: float = 0, labels: tuple[str, ...] = ("example", "random")
) -> Work[str]:
    return Work(graph, seconds * PACE, memory, [(label, f"inputs of {label}") for label in labels])


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(time, "perf_counter", lambda: made.now)
    monkeypatch.setattr(budget_module, "free_memory", lambda: 10 * 10**9)
    return made


def test_with_time_for_all_each_graph_is_opened_once_the_cheapest_first(machine: Machine) -> None:
    assert machine.play(100, work("unet", 22), work("text", 4)) == []
    text = ["open text", "text example", "text random"]
    assert machine.done == [*text, "open unet", "unet example", "unet random"]


def test_a_first_comparison_is_worth_more_than_a_second_one(machine: Machine) -> None:
    """Of 29 s, the examples take 4 and 22: `text` on random inputs would take what `unet` needs."""
    left = machine.play(29, work("unet", 22), work("text", 4, labels=("example", "random", "random, 1 row")))
    assert machine.done == ["open text", "text example", "open unet", "unet example"]
    assert left == [
        "graph text on further inputs (random; random, 1 row): they would take about 4 s, and 3 s of "
        "budget_seconds are left",
        "graph unet on further inputs (random): they would take about 22 s, and 3 s of "
        "budget_seconds are left",
    ]


def test_one_second_comparison_of_two(machine: Machine) -> None:
    left = machine.play(32, work("unet", 22), work("text", 4, labels=("example", "random", "random, 1 row")))
    assert machine.done == ["open text", "text example", "text random", "open unet", "unet example"]
    assert left[0].startswith("graph text on further inputs (random, 1 row): they would take about 4 s")


def test_what_was_put_off_is_taken_up_again_where_time_is_left(machine: Machine) -> None:
    """At the pace of `text` 44 s were kept for `unet`, which took 22."""
    machine.slow, machine.opening = {"text": 2.0}, {"text": 1.0}
    left = machine.play(59, work("unet", 22), work("text", 4))
    first = ["open text", "text example", "open unet", "unet example", "unet random"]
    assert machine.done == [*first, "open text", "text random"]
    assert left == []


def test_to_open_a_graph_again_has_its_price(machine: Machine) -> None:
    """As before, but for the 8 s that opening `text` takes: 6 s are left for 8 + 4."""
    machine.slow, machine.opening = {"text": 2.0}, {"text": 8.0}
    left = machine.play(66, work("unet", 22), work("text", 4))
    assert machine.done == ["open text", "text example", "open unet", "unet example", "unet random"]
    assert left == [
        "graph text on further inputs (random): they would take about 12 s, and 6 s of "
        "budget_seconds are left"
    ]


@pytest.mark.parametrize(("seconds", "memory", "left"), [(25, 9e9, 17), (20, 0, 12)])
def test_what_cannot_be_afforded_anyway_keeps_no_time(
    machine: Machine, seconds: float, memory: float, left: int
) -> None:
    """`unet` has the time after the first run of `text`, and not the memory; or has not even the time."""
    told = machine.play(seconds, work("unet", 22, memory), work("text", 4))
    assert machine.done == ["open text", "text example", "text random"]
    assert told == [
        f"graph unet against its module: it would take about 22 s, and {left} s of budget_seconds are left"
    ]
