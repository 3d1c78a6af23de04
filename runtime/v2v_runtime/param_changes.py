"""Changes while a video plays, from a command line: ``--at WHEN:NAME=VALUE``.

WHEN is a frame, counted from 0, or seconds from the video's first frame, ``4.5s``; the change is made
before the first frame that is not earlier. NAME is a param, with a value as ``--set`` takes it. Where the
program has no such params, ``prompt`` and ``negative`` take a text for the bundle's text encoder, and
``enter`` a phase to begin anew (a warm-up under the new prompt, say).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import StreamError
from v2v_runtime.param_options import param_value, prompt_values
from v2v_runtime.params import checked
from v2v_runtime.remembered import frames_until, remembering
from v2v_runtime.stream import Stream

_SECONDS = re.compile(r"(\d+(?:\.\d*)?|\.\d+)s", re.ASCII)


@dataclass(frozen=True, eq=False)
class Change:
    """One of them.

    Attributes:
        word: as the command line has it.
        frame, seconds: when; one of the two.
        kind: what is changed.
        name: the param, or the phase.
        value: the param's value; the ids of a text, by param.
    """

    word: str
    frame: int | None
    seconds: Fraction | None
    kind: Literal["param", "prompt", "negative", "enter"]
    name: str
    value: Any = None

    def due(self, frame: int, seconds: Fraction) -> bool:
        """Whether it is to be made before this frame, if it has not been."""
        if self.frame is not None:
            return frame >= self.frame
        assert self.seconds is not None
        return seconds >= self.seconds

    def after(self, other: Change, gather: int = 1) -> bool:
        """Whether the first step from it on, of ``gather`` frames, is made with ``other`` or later; so is a
        time against a frame: words do not tell."""
        if self.frame is not None and other.frame is not None:
            return self.frame + gather > other.frame
        if self.seconds is not None and other.seconds is not None:
            return self.seconds >= other.seconds
        return True


class Changes:
    """What is still to be changed while a stream plays; every word of it is read at once.

    Args:
        words: ``WHEN:NAME=VALUE`` each.
        begun: the params that were set before the first frame.
        note: told what was left out of a prompt that is too long, and which changes do not reach all that the
            stream remembers.

    Attributes:
        entered: phases that were entered so far.

    Raises:
        StreamError: a word that is no change (V2V-E3092), and what ``ParamOptions.values`` raises.
        BundleError: as there.
    """

    def __init__(
        self,
        words: Sequence[str],
        bundle: Bundle,
        begun: Mapping[str, Any] | None = None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._bundle, self._note = bundle, note
        self.entered = 0
        self._left = [self._read(word) for word in words]
        declared = bundle.manifest.program.params
        # A text is a row of these params: a new prompt leaves the negative one as it is.
        texts = {name for item in self._left if item.kind in ("prompt", "negative") for name in item.value}
        self._rows = {
            name: np.array((begun or {}).get(name, bundle.blob(declared[name].default))) for name in texts
        }
        for change in self._left:
            self._tell_what_stays(change)

    @property
    def left(self) -> tuple[str, ...]:
        """Those that were not due yet."""
        return tuple(change.word for change in self._left)

    def check(self, stream: Stream) -> None:
        """Raises what making them would: StreamError V2V-E3011 to E3013, V2V-E3030."""
        program = stream.session.program
        phases = [phase.name for phase in program.phases]
        for change in self._left:
            if change.kind == "param":
                checked(program.params, {change.name: change.value}, {}, stream.session.float_type)
            elif change.kind == "enter" and change.name not in phases:
                raise StreamError(
                    "V2V-E3030",
                    f"no phase {change.name!r}",
                    f"one of {', '.join(phases)}",
                    f"correct --at {change.word}",
                )

    def apply(self, stream: Stream, frame: int, seconds: Fraction) -> None:
        """Makes the changes that are due before a frame: params together, then the phase.

        Args:
            frame: its index.
            seconds: its time from the first one.
        """
        due = [change for change in self._left if change.due(frame, seconds)]
        if not due:
            return
        self._left = [change for change in self._left if change not in due]
        values: dict[str, Any] = {}
        for change in due:
            if change.kind == "param":
                values[change.name] = change.value
            elif change.kind != "enter":
                for name, ids in change.value.items():
                    self._rows[name][0 if change.kind == "negative" else -1] = ids
                    values[name] = self._rows[name]
        if values:
            stream.set_params(values)
        for change in due:
            if change.kind == "enter":
                stream.enter(change.name)
                self.entered += 1

    def _tell_what_stays(self, change: Change) -> None:
        """Notes the phases that a param's change does not reach, unless they are entered again later."""
        if change.kind == "enter":
            return
        program = self._bundle.manifest.program
        params = {change.name} if change.kind == "param" else set(change.value)
        enters = [other for other in self._left if other.kind == "enter"]
        for phase in remembering(program, params):
            early = change.seconds == 0 or (
                change.frame is not None and change.frame < frames_until(program, phase)
            )
            again = any(other.name == phase.name and other.after(change, phase.gather) for other in enters)
            if not early and not again:
                when = change.word.partition(":")[0]
                self._note(
                    f"--at {change.word}: what phase {phase.name} left goes on under the value before, until "
                    f"the phase is entered again, as by --at {when}:enter={phase.name}"
                )

    def _read(self, word: str) -> Change:
        when, _, assignment = word.partition(":")
        name, equals, value = assignment.partition("=")
        spelt = _SECONDS.fullmatch(when)
        seconds = Fraction(spelt[1]) if spelt else None
        frame = int(when) if when.isascii() and when.isdecimal() else None
        if not (equals and name) or (frame is None and seconds is None):
            raise StreamError(
                "V2V-E3092",
                f"--at {word}",
                "WHEN:NAME=VALUE, WHEN a frame from 0 on, or a time such as 4.5s",
                "such as --at '120:prompt=a lake at night'",
            )
        declared = self._bundle.manifest.program.params
        if name in declared or name not in ("prompt", "negative", "enter"):
            made = param_value(declared, name, value, f"--at {word}")
            return Change(word, frame, seconds, "param", name, made)
        if name == "enter":
            return Change(word, frame, seconds, "enter", value)
        if name == "prompt":
            rows = prompt_values(self._bundle, value, None, self._note)
            ids = {param: array[-1] for param, array in rows.items()}
            return Change(word, frame, seconds, "prompt", name, ids)
        rows = prompt_values(self._bundle, None, value, self._note)
        ids = {param: array[0] for param, array in rows.items()}
        return Change(word, frame, seconds, "negative", name, ids)
