"""A stream of the Python runtime and one of the C++ runtime over one bundle, driven together."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.cpp import CppError, CppStream, Library
from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import V2VError
from v2v_runtime.stream import Stream

OPTIONS = {"threads": 1, "spin": False}
LATE_INLINE, TIMING = 1, 2
TRUST_SIZES = 1


class Both:
    """Does each thing to both streams and compares what they answer.

    Args:
        late: ``thread`` or ``inline``.
        timing: measure each call.
        trusting: the bundle was opened without hashing it; C++ does the same.
        choice: ``target`` and ``variant``.
    """

    def __init__(
        self,
        library: Library,
        bundle: Bundle,
        late: str = "thread",
        *,
        timing: bool = False,
        trusting: bool = False,
        **choice: str,
    ) -> None:
        self.events: list[str] = []
        self.python = Stream(
            bundle,
            options=OPTIONS,
            late=late,  # type: ignore[arg-type]  # one of the two literals
            timing=timing,
            trace=lambda event: self.events.append(json.dumps(event.as_dict())),
            **choice,
        )
        handle = library.open(bundle.root, flags=TRUST_SIZES if trusting else 0)
        flags = (LATE_INLINE if late == "inline" else 0) | (TIMING if timing else 0)
        self.cpp = CppStream(library, handle, flags, options=json.dumps(OPTIONS), **choice)
        assert library.destroy("bundle", handle) == 0
        self.codes: list[str] = []
        self.shown = 0

    def do(self, python: Callable[[], Any], cpp: Callable[[], Any]) -> tuple[Any, Any] | None:
        """Both answers, or None where both fail with the same code."""
        failed: V2VError | None = None
        try:
            expected = python()
        except V2VError as error:
            failed = error
        if failed is not None:
            with pytest.raises(CppError) as caught:
                cpp()
            assert caught.value.code == failed.code, (str(caught.value), str(failed))
            self.codes.append(failed.code)
            return None
        made = cpp()
        if isinstance(expected, list):
            assert len(made) == len(expected)
            self.shown += len(made)
            for a, b in zip(made, expected, strict=True):
                assert (a.timestamp, a.index, a.skipped) == (b.timestamp, b.index, b.skipped)
                np.testing.assert_array_equal(a.rgb8, b.rgb8)
        return expected, made

    def push(self, frame: Any, timestamp: int | None = None) -> tuple[Any, Any] | None:
        return self.do(lambda: self.python.push(frame, timestamp), lambda: self.cpp.push(frame, timestamp))

    def submit(self, frame: Any, timestamp: int | None = None) -> tuple[Any, Any] | None:
        return self.do(
            lambda: self.python.submit(frame, timestamp), lambda: self.cpp.submit(frame, timestamp)
        )

    def collect(self) -> tuple[Any, Any] | None:
        return self.do(self.python.collect, self.cpp.collect)

    def flush(self) -> tuple[Any, Any] | None:
        return self.do(self.python.flush, self.cpp.flush)

    def runs(self) -> dict[str, int]:
        """How often each call ran, which both must tell alike."""
        expected = {name: taken.runs for name, taken in self.python.times.items()}
        assert self.cpp.runs() == expected
        return expected

    def owed(self) -> int:
        """What both owe."""
        assert self.cpp.owed() == self.python.owed
        return self.python.owed

    def close(self) -> None:
        self.do(self.python.snapshot, self.cpp.snapshot)  # settles what is late
        assert self.cpp.events == self.events
        made, expected = self.cpp.counters(), self.python.counters
        assert made == {name: getattr(expected, name) for name in made}
        self.python.close()
        self.cpp.close()
