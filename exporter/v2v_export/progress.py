"""How long work tells what it is doing: stages with steps, to people or to programs."""

from __future__ import annotations

import json
import threading
from types import TracebackType
from typing import IO, TYPE_CHECKING, Literal, Protocol, Self

if TYPE_CHECKING:
    from rich.console import Console

Outcome = Literal["built", "cached", "done", "failed", "stopped"]


class Progress(Protocol):
    """Takes the events of one run. Stages do not nest: one ends before the next begins."""

    def start(self, stage: str, total: int | None = None) -> None:
        """A stage begins; ``total`` steps, where that is known."""

    def step(self, text: str = "", done: int | None = None, total: int | None = None) -> None:
        """The running stage goes on: what it does now, and how far it is where that is known."""

    def finish(self, outcome: Outcome, seconds: float) -> None:
        """The running stage has ended."""

    def note(self, text: str) -> None:
        """A line for people: why something is built again, what is waited for."""


class SilentProgress:
    """Tells nothing."""

    def start(self, stage: str, total: int | None = None) -> None:
        pass

    def step(self, text: str = "", done: int | None = None, total: int | None = None) -> None:
        pass

    def finish(self, outcome: Outcome, seconds: float) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class JsonProgress:
    """One JSON object per line: ``event`` is start, step, finish or note; all have the running ``stage``."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._stage = ""

    def start(self, stage: str, total: int | None = None) -> None:
        self._stage = stage
        self._write({"event": "start", "total": total})

    def step(self, text: str = "", done: int | None = None, total: int | None = None) -> None:
        self._write({"event": "step", "text": text, "done": done, "total": total})

    def finish(self, outcome: Outcome, seconds: float) -> None:
        self._write({"event": "finish", "outcome": outcome, "seconds": round(seconds, 3)})

    def note(self, text: str) -> None:
        self._write({"event": "note", "text": text})

    def _write(self, event: dict[str, object]) -> None:
        self._stream.write(json.dumps({"stage": self._stage, **event}) + "\n")
        self._stream.flush()


class RichProgress:
    """A bar with the running stage and step; a line for each stage that has ended.

    Use it as a context manager: the bar is taken away on every way out.
    """

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        self._console = console
        self._bar = Bar(
            TextColumn("[bold]{task.fields[stage]}"),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, stage="", visible=False)
        self._stage = ""
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def start(self, stage: str, total: int | None = None) -> None:
        with self._lock:
            self._stage = stage
            self._bar.reset(self._task, total=total, description="", stage=stage, visible=True)

    def step(self, text: str = "", done: int | None = None, total: int | None = None) -> None:
        with self._lock:
            self._bar.update(self._task, description=text, completed=done, total=total)

    def finish(self, outcome: Outcome, seconds: float) -> None:
        with self._lock:
            self._bar.update(self._task, visible=False)
            style = {"failed": "red", "stopped": "yellow", "cached": "dim"}.get(outcome, "green")
            self._console.print(
                f"  [{style}]{outcome:>7}[/] {seconds:6.1f} s  {self._stage}", highlight=False
            )

    def note(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text(f"  {text}", style="dim"), soft_wrap=True)
