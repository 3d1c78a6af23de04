"""The slow frames' script: what it keeps, what it claims, and that it goes on where it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import slow_frames
from _points.bundle import Subject
from _points.record import Outcome
from v2v_export.system import FrameSize

SUBJECT = Subject(Path("none.v2v"), "0" * 64, FrameSize(176, 264), 30.1)
ONE = Outcome(0.0, 0, "PASS", 0.0, -0.01, 0.01, 16, False, 90.0, 0.01)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float | None, int]]:
    """Limit, deadline and seed of every comparison that is asked for; a limit of zero is extended."""
    asked: list[tuple[float, float | None, int]] = []

    def compare(subject: Subject, limits: Any, deadline: float | None, seed: int) -> Outcome:
        asked.append((limits.fail, deadline, seed))
        return (
            ONE
            if limits.fail
            else replace(ONE, verdict="INCONCLUSIVE", rounds=32, extended=True, seconds=180.0)
        )

    monkeypatch.setattr(slow_frames, "_compare", compare)
    monkeypatch.setattr(slow_frames, "make_subject", lambda *arguments: SUBJECT)
    return asked


def test_all_kinds_are_played_and_kept_and_not_played_again(
    played: list[tuple[float, float | None, int]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "slow.json"
    assert slow_frames.main(["--json", str(path), "--count", "1"]) == 0
    assert played == [(0.03, None, 0), (0.0, None, 0), (0.0, 40.0, 0)]
    assert slow_frames.main(["--json", str(path), "--count", "2"]) == 0
    assert played[3:] == [(0.03, None, 1), (0.0, None, 1), (0.0, 40.0, 1)]
    record = json.loads(path.read_text())
    assert [(one["limits"], one["rounds"]) for one in record["comparisons"]] == [
        ("default", 16), ("zero", 32), ("deadline", 32), ("default", 16), ("zero", 32), ("deadline", 32),
    ]  # fmt: skip
    assert record["case"]["frame_ms"] == 30.1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"seconds": 300.5}, ["1 comparisons took more than 300 s, the longest 300.5 s"]),
        ({"extended": False}, ["no comparison had rounds added"]),
    ],
)
def test_the_claims(change: dict[str, Any], words: list[str]) -> None:
    record = {
        "comparisons": [{"extended": False, "seconds": 90.0}, {"extended": True, "seconds": 300.0, **change}]
    }
    told = slow_frames.misses(record)
    assert len(told) == len(words)
    assert all(word in line for word, line in zip(words, told, strict=True))


@pytest.mark.parametrize("damage", ["{}", '{"schema": "v2v.slow-frames/1"', None])
def test_a_record_of_something_else_is_left_alone(
    damage: str | None, played: list[tuple[float, float | None, int]], tmp_path: Path
) -> None:
    path = tmp_path / "slow.json"
    assert slow_frames.main(["--json", str(path), "--count", "1"]) == 0
    text = path.read_text()
    path.write_text(text.replace('"0000', '"1111') if damage is None else damage)
    before = path.read_bytes()
    assert slow_frames.main(["--json", str(path), "--count", "2"]) == 1
    assert path.read_bytes() == before


def test_comparisons_of_other_rules_are_not_gone_on_with(
    played: list[tuple[float, float | None, int]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "slow.json"
    assert slow_frames.main(["--json", str(path), "--count", "1"]) == 0
    before = path.read_bytes()
    monkeypatch.setattr(slow_frames, "rules", lambda: "others")
    assert slow_frames.main(["--json", str(path), "--count", "2"]) == 1
    assert "of another machine, bundle or rules" in capsys.readouterr().err
    assert (len(played), path.read_bytes()) == (3, before)


def test_the_committed_record_keeps_what_is_claimed_of_it() -> None:
    assert slow_frames.misses(slow_frames.read(slow_frames.RECORD)) == []
