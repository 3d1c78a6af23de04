"""Times of single calls: those after the stream's times have settled."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from v2v_export.bench import run
from v2v_runtime.bundle import Bundle


class FakeStream:
    """Its call takes 9 ms in the first 20 frames and 1 ms then; another runs with the first frame alone."""

    made: ClassVar[list[FakeStream]] = []

    def __init__(self, bundle: Bundle, target: str, **options: Any) -> None:
        self.pushed, self.options = 0, options
        self.times: dict[str, SimpleNamespace] = {}
        FakeStream.made.append(self)

    def __enter__(self) -> FakeStream:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def push(self, frame: object) -> None:
        self.pushed += 1
        if self.pushed == 1:
            self.times["first/full"] = SimpleNamespace(runs=1, last_ns=41_000_000)
        taken = 9_000_000 if self.pushed <= 20 else 1_000_000
        self.times["play/step"] = SimpleNamespace(runs=self.pushed, last_ns=taken)

    def set_params(self) -> None:
        return None


class FakeWarmUp:
    """Settles after 21 frames."""

    def __init__(self, period: int) -> None:
        self.wanted, self.taken = period, 0

    @property
    def settled(self) -> bool:
        return self.taken >= 21

    def add(self, frame_ns: Sequence[int]) -> None:
        assert len(frame_ns) == self.wanted
        self.taken += len(frame_ns)


def test_runs_before_the_times_have_settled_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "Stream", FakeStream)
    monkeypatch.setattr(run, "WarmUp", FakeWarmUp)
    monkeypatch.setattr(run, "CALL_PERIODS", 40)
    bundle: Any = None
    calls, frames = run.call_times(bundle, "cpu.onnxruntime", [np.zeros((2, 2, 3), np.uint8)], 3)
    assert FakeStream.made[-1].options == {"options": {}, "late": "inline", "timing": True}
    assert frames == 120
    assert FakeStream.made[-1].pushed == 21 + 120
    assert (calls["play/step"].runs, calls["play/step"].worst) == (120, 1.0)
    assert (calls["first/full"].runs, calls["first/full"].p50) == (1, 41.0), "it has no other run"
