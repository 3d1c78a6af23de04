"""What a budget affords, and what it says of what it does not."""

from __future__ import annotations

import math

import pytest
from v2v_export.verify import budget as module
from v2v_export.verify.budget import FIRST_PACE, Budget


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(module, "free_memory", lambda: 10 * 10**9)
    return now


def test_work_is_priced_at_the_pace_of_what_was_done(clock: list[float]) -> None:
    budget = Budget(60)
    assert budget.price(2e10) == pytest.approx(2e10 * FIRST_PACE)
    budget.took(4e9, 2.0)
    assert budget.price(2e10) == pytest.approx(10.0)
    budget.took(1e6, 50.0)  # a small piece: what it took was not its multiply-adds
    assert budget.price(2e10) == pytest.approx(10.0)


def test_what_does_not_fit_into_what_is_left(clock: list[float]) -> None:
    budget = Budget(60)
    budget.took(4e9, 2.0)
    assert budget.refuse(1e11) == ""  # 50 s
    clock[0] += 20
    assert budget.left == pytest.approx(40)
    assert budget.refuse(1e11) == "about 50 s, and 40 s of budget_seconds are left"
    clock[0] += 60
    assert budget.left == 0
    assert budget.refuse(0) != ""


def test_memory_that_is_not_there(clock: list[float]) -> None:
    assert Budget(60).refuse(0, 7.9e9) == ""
    assert Budget(60).refuse(0, 8.1e9) == "about 8.1 GB of memory, and 10.0 GB are free"


def test_without_a_limit_everything_is_affordable(clock: list[float]) -> None:
    budget = Budget(None)
    clock[0] += 1e6
    assert budget.left == math.inf
    assert budget.refuse(1e15, 1e13) == ""
