"""A literal stream that was played once: it says again what it said, and only that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from v2v_export.system import ReferenceFrame
from v2v_export.verify.arrays import DATA, ArrayReader, ArrayWriter, finished
from v2v_export.verify.reference import RecordedReference, Recorder, recorded
from v2v_runtime.manifest.model import Call, Emit, FrameSpec, Phase, Program, Ring, Slot

RING, WIDTH = 4, 1000
SIZE = FrameSpec(4, 4)
PROGRAM = Program(
    {"frame": SIZE},
    {"frame": SIZE},
    (Phase("stream", "forever", (Call("c", "g", {}, {"y": "past"}),), emit=Emit("out")),),
    1,
    slots={"past": Slot("float", (RING, WIDTH), ring=Ring(RING)), "kept": Slot("float", (2, WIDTH))},
)
CLIP = np.arange(7 * 4 * 4 * 3, dtype=np.int64).astype(np.uint8).reshape(7, 4, 4, 3)


class Counting:
    """Its ring holds the numbers of the last steps (``v2v_export.system.Reference``)."""

    def reset(self) -> None:
        self.at = 0

    def step(self, frames: NDArray[np.uint8]) -> Sequence[ReferenceFrame]:
        self.at += 1
        return [ReferenceFrame(np.full((3, 4, 4), self.at, np.float32), frame) for frame in frames]

    def slots(self) -> Mapping[str, NDArray[Any]]:
        if not self.at:
            return {}
        past = np.zeros((RING, WIDTH), np.float32)
        for step in range(1, self.at + 1):
            past[(step - 1) % RING] = step
        return {"past": past, "kept": np.ones((2, WIDTH), np.float32)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recorder = Recorder(Counting(), PROGRAM, 6, tmp_path / "recording")
    for frame in CLIP:
        recorder.step(frame[None])
    assert not finished(tmp_path / "recording")
    recorder.finish()
    return tmp_path / "recording"


def test_it_says_again_what_was_said(folder: Path) -> None:
    again, live = RecordedReference(folder), Counting()
    assert (again.taken, again.states, again.forced_frames) == (7, 6, 6)
    for _ in range(2):
        again.reset()
        live.reset()
        for index, frame in enumerate(CLIP):
            if index < 6:
                for slots in (again.slots(), live.slots()):
                    assert set(slots) == ({"past", "kept"} if index else set())
                for name in live.slots():
                    np.testing.assert_array_equal(again.slots()[name], live.slots()[name])
            (said,), (once,) = again.step(frame[None]), live.step(frame[None])
            np.testing.assert_array_equal(said.float, once.float)
            np.testing.assert_array_equal(said.rgb8, once.rgb8)


def test_it_is_of_its_own_frames(folder: Path) -> None:
    again = RecordedReference(folder)
    again.step(CLIP[:1])
    with pytest.raises(ValueError, match="step 1"):
        again.step(CLIP[:1])
    for frame in CLIP[1:]:
        again.step(frame[None])
    with pytest.raises(IndexError):
        again.slots()


def test_what_a_recording_is_good_for(folder: Path, tmp_path: Path) -> None:
    assert recorded(folder, 7, 6)
    assert not recorded(folder, 8, 6)
    assert not recorded(folder, 7, 7)
    assert not recorded(tmp_path / "none", 0, 0)


def test_a_step_of_a_ring_costs_one_row(folder: Path) -> None:
    """Six states of a ring of 4 rows: the zeros, and each of the six steps' rows, once; ``kept`` once."""
    pictures = 7 * (3 * 16 * 4) + CLIP.nbytes
    assert (folder / DATA).stat().st_size == pictures + (1 + 6) * WIDTH * 4 + 2 * WIDTH * 4


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3), np.float32),
        np.array([True, False]),
        np.arange(6, dtype=np.int64).reshape(1, 2, 3),
        np.arange(24, dtype=np.float16).reshape(2, 3, 4)[:, ::2],
    ],
    ids=["empty", "bool", "int64", "strided"],
)
@pytest.mark.parametrize("rows", [False, True])
def test_arrays_come_back(tmp_path: Path, array: NDArray[Any], rows: bool) -> None:
    with ArrayWriter(tmp_path) as writer:
        other = writer.add(np.ones(3))
        entry = writer.add(array, rows=rows)
        writer.finish([other, entry])
    reader = ArrayReader(tmp_path)
    back = reader.read(reader.index[1])
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
