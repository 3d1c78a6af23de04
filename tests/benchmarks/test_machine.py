"""What the machine may cost, and that a run beyond it says so."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import machine
import pytest


def row(backend: str, slots: int, own_us: float) -> dict[str, Any]:
    return {"backend": backend, "slots": slots, "own_us": own_us}


def test_within_the_limits_nothing_is_said() -> None:
    """At 20 slots: 150 microseconds in Python, 30 in C++; nothing is asked of more slots."""
    rows = [row("callables", 20, 150.0), row("onnxruntime", 20, 149.99), row("C++", 20, 30.0)]
    assert machine.beyond([*rows, row("callables", 160, 1e6), row("C++", 80, 31.0)]) == []


@pytest.mark.parametrize(
    ("backend", "own_us"),
    [("callables", 150.01), ("onnxruntime", 151.0), ("C++", 30.01), ("C++", float("nan"))],
)
def test_each_backend_has_its_limit(backend: str, own_us: float) -> None:
    (words,) = machine.beyond([row("C++", 20, 1.0), row(backend, 20, own_us)])
    assert words.startswith(f"{backend}: {own_us} us")


@pytest.mark.parametrize(("own", "status"), [(20.0, 0), (200.0, 3)])
def test_a_run_beyond_them_ends_with_3(
    own: float,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The record is written either way."""
    result = {"total": 2 * own, "own": own, "best": own}
    monkeypatch.setattr(machine, "measure", lambda *arguments: result)
    monkeypatch.setattr(machine, "write_onnx", lambda *arguments: {})
    monkeypatch.setattr(machine, "open_backend", lambda *arguments: None)
    monkeypatch.setattr(sys, "argv", ["machine.py", "--json", str(tmp_path / "machine.json")])
    assert machine.main() == status
    assert (tmp_path / "machine.json").is_file()
    told = capsys.readouterr().err.splitlines()
    words = [f"{name}: 200.0 us a step at 20 slots, at most 150.0" for name in ("callables", "onnxruntime")]
    assert told == (words if status else [])
