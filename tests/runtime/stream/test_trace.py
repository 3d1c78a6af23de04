"""The step trace of a whole program, event by event."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conformance.programs.base import BAD
from v2v_runtime.errors import StreamError
from v2v_runtime.stream import Stream
from v2v_runtime.trace import Event

EXPECTED = """
{"event": "phase", "phase": "first", "frame_index": 0, "cause": "start"}
{"event": "step", "phase": "first", "step": 0, "frame_index": 0, "calls": [["full", null]], "left_out": [], "skipped": false, "emitted": 1, "dropped": 0, "failed": null}
{"event": "phase", "phase": "stream", "frame_index": 1, "cause": "next"}
{"event": "step", "phase": "stream", "step": 0, "frame_index": 1, "calls": [["shortcut", null]], "left_out": [], "skipped": false, "emitted": 1, "dropped": 0, "failed": null}
{"event": "step", "phase": "stream", "step": 1, "frame_index": 2, "calls": [["shortcut", null]], "left_out": [], "skipped": false, "emitted": 0, "dropped": 0, "failed": "V2V-E3020"}
{"event": "step", "phase": "stream", "step": 1, "frame_index": 2, "calls": [["shortcut", null]], "left_out": [], "skipped": false, "emitted": 1, "dropped": 0, "failed": null}
{"event": "step", "phase": "stream", "step": 2, "frame_index": 3, "calls": [["shortcut", null]], "left_out": [], "skipped": false, "emitted": 1, "dropped": 0, "failed": null}
{"event": "late", "phase": "stream", "step": 2, "calls": [["refresh", null]], "left_out": [], "failed": null}
{"event": "phase", "phase": "first", "frame_index": 4, "cause": "enter"}
{"event": "step", "phase": "first", "step": 0, "frame_index": 4, "calls": [["full", null]], "left_out": [], "skipped": false, "emitted": 1, "dropped": 0, "failed": null}
{"event": "phase", "phase": "stream", "frame_index": 5, "cause": "next"}
{"event": "phase", "phase": "first", "frame_index": 0, "cause": "reset"}
"""  # noqa: E501


def test_the_trace_of_shortcut_v2v(written) -> None:  # type: ignore[no-untyped-def]
    events: list[Event] = []
    with Stream(written("shortcut_v2v-shortcut").bundle, trace=events.append) as stream:
        for value in (1, 2, BAD, 3, 4):
            frame = np.full((2, 4, 3), value, np.uint8)
            if value == BAD:
                with pytest.raises(StreamError):
                    stream.push(frame)
            else:
                stream.push(frame)
        stream.enter("first")
        stream.push(np.zeros((2, 4, 3), np.uint8))
        stream.slots()
        stream.reset()
    made = [json.dumps(event.as_dict()) for event in events]
    assert made == EXPECTED.strip().splitlines()
