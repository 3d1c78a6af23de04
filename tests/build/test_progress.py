"""Progress to programs and to people."""

from __future__ import annotations

import io
import json

from rich.console import Console
from v2v_export.progress import JsonProgress, Progress, RichProgress, SilentProgress


def _run(progress: Progress) -> None:
    progress.start("graphs", 2)
    progress.step("tracing [a]", 1, 2)
    progress.note("built again: x -> [y]")
    progress.finish("built", 1.25)
    progress.start("engine")
    progress.step()
    progress.finish("failed", 0.5)


def test_json_lines() -> None:
    stream = io.StringIO()
    _run(JsonProgress(stream))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert events[0] == {"stage": "graphs", "event": "start", "total": 2}
    assert events[1] == {"stage": "graphs", "event": "step", "text": "tracing [a]", "done": 1, "total": 2}
    assert events[3] == {"stage": "graphs", "event": "finish", "outcome": "built", "seconds": 1.25}
    assert [event["stage"] for event in events[4:]] == ["engine"] * 3


def test_lines_for_people() -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=100, force_terminal=False)
    with RichProgress(console) as progress:
        _run(progress)
    text = stream.getvalue()
    assert "built" in text
    assert "graphs" in text
    assert "failed" in text
    assert "built again: x -> [y]" in text, "brackets are text, not markup"


def test_a_bar_on_a_terminal_is_taken_away() -> None:
    stream = io.StringIO()
    with RichProgress(Console(file=stream, width=100, force_terminal=True)) as progress:
        _run(progress)
    assert "tracing [a]" in stream.getvalue() or "graphs" in stream.getvalue()
    assert stream.getvalue().rstrip().endswith(("\x1b[?25h", "\x1b[2K")), "the cursor is shown again"


def test_silence() -> None:
    _run(SilentProgress())
