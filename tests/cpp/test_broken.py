"""A memory that fails once, an allocator that fails once, a blob that is replaced once the bundle is open."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance.programs.base import HEIGHT, WIDTH, Synthetic
from support.bundles import make_manifest
from support.cpp import CppError, CppStream, Library
from v2v_runtime.blobs import encode_safetensors
from v2v_runtime.bundle_writer import write_bundle
from v2v_runtime.manifest.model import BlobRef, Call, Const, Emit, FrameSpec, Phase, Program

TRUST_SIZES = 1
BLOB = "blobs/table.safetensors"
ENTRIES = 256


def broken(cpp_build: Path, root: Path, what: str, frame: int) -> dict[str, Any]:
    command = [cpp_build / "v2v_broken", root, what, str(frame)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("name", ["std", "streamv2v"])
@pytest.mark.parametrize(("what", "code", "counted"), [("write", 4012, 0), ("trace", 3104, 1)])
def test_a_frame_that_fails_takes_its_timestamp_along(
    name: str, what: str, code: int, counted: int, cpp_build: Path, bundles
) -> None:
    """Frame 6 fails as it is written, or as its event is formatted; the others keep their timestamps."""
    found = broken(cpp_build, bundles(name).root, what, 6)
    kept = [100 + i for i in range(12) if i != 6]
    shown = [[timestamp, index] for index, timestamp in enumerate(kept)]
    assert found == {"failed": code, "counted": counted, "shown": shown, "owed": 0, "reads": len(kept)}


@pytest.mark.parametrize(("name", "frame"), [("live2diff", 7), ("std", 6)])
def test_frames_that_could_not_be_read_are_collected_again(
    name: str, frame: int, cpp_build: Path, bundles
) -> None:
    """The last read of a step's frames fails: the next collect hands all of them over."""
    found = broken(cpp_build, bundles(name).root, "read", frame)
    assert found["failed"] == 4012
    assert found["shown"] == [[100 + i, i] for i in range(12 - found["owed"])]


def test_a_frame_whose_rows_lie_apart_is_read_once(cpp_build: Path, bundles) -> None:
    """Each reading waits for the device: none of its rows has one of its own."""
    found = broken(cpp_build, bundles("std").root, "padded", 0)
    assert (found["failed"], found["reads"]) == (0, len(found["shown"]))


GRAPH = f"""g (uint8[1,2,4,3] frame, float[{ENTRIES}] table) => (uint8[1,2,4,3] y)
<int64[1] i0 = {{0}}, int64[1] i1 = {{1}}>
{{
  first = Slice(table, i0, i1, i0)
  added = Cast<to = 2>(first)
  y = Add(frame, added)
}}"""


class Unread:
    """What the writer opens a bundle with that it would refuse."""

    @staticmethod
    def open(*_: Any, **__: Any) -> None:
        """Opens nothing."""


@pytest.mark.parametrize(
    "other", [np.zeros(4, np.float32), np.zeros(ENTRIES, np.float16)], ids=["shape", "type"]
)
def test_a_blob_that_is_replaced_after_opening(
    other: Any, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file keeps its size and its tensor's name; no byte beyond the tensor is read."""
    spec = FrameSpec(HEIGHT, WIDTH)
    call = Call("c", "g", {"frame": "video", "table": "table"}, {"y": "out"})
    program = Program(
        inputs={"video": spec},
        outputs={"shown": spec},
        phases=(Phase("play", "forever", (call,), emit=Emit("out")),),
        max_frames=1,
        consts={"table": Const("float", (ENTRIES,), BlobRef(BLOB, "table"))},
    )
    parts = Synthetic("swapped", program, {"g": GRAPH}, simulate=None)
    declared = encode_safetensors({"table": np.ones(ENTRIES, np.float32), "z": np.zeros(2000, np.uint8)})
    header = len(encode_safetensors({"table": other, "z": np.zeros(1000, np.uint8)})) - 1000
    swapped = {"table": other, "z": np.zeros(len(declared) - header, np.uint8)}
    # The hash is that of the file that is there in the end; nobody but a reader of both notices.
    monkeypatch.setattr("v2v_runtime.bundle_writer.Bundle", Unread)
    root = tmp_path / "bundle"
    graphs = {"graphs/g.onnx": parts.onnx()["g"]}
    write_bundle(root, make_manifest(program, parts.graphs()), graphs=graphs, blobs={BLOB: swapped})
    file = root / BLOB
    replaced = file.read_bytes()
    assert len(replaced) == len(declared)
    file.write_bytes(declared)
    handle = library.open(root, flags=TRUST_SIZES)
    file.write_bytes(replaced)
    try:
        with pytest.raises(CppError, match="V2V-E4014"):
            CppStream(library, handle, options=json.dumps({"threads": 1}))
    finally:
        library.destroy("bundle", handle)
