"""The frames that a bundle carries, played in C++ and Python: the same report, and the stream as it was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conformance.programs import PROGRAMS
from conformance.programs.base import Frame
from support.bundles import make_bundle, make_manifest
from support.cpp import CppStream, Library
from support.pairs import Footage
from v2v_runtime.bundle import Bundle
from v2v_runtime.manifest.model import BlobRef, SelfTest
from v2v_runtime.stream import Stream

OPTIONS = {"threads": 1}
BLOB = "blobs/selftest.safetensors"
FIELDS = ("frames", "expected", "max_difference", "worst_frame", "tolerance", "passed")


def simulated(name: str, count: int) -> tuple[list[Frame], list[Frame]]:
    """Frames, and what the algorithm makes of them, flushed."""
    simulation = PROGRAMS[name]().simulate()
    footage = Footage(3)
    clip = [footage.next() for _ in range(count)]
    shown = [picture for i, frame in enumerate(clip) for picture, _ in simulation.push(frame, i)]
    return clip, shown + [picture for picture, _ in simulation.flush()]


def bundle_with_selftest(folder: Path, name: str, off_by: int) -> Bundle:
    synthetic = PROGRAMS[name]()
    clip, shown = simulated(name, 14)
    expected = np.stack(shown)
    expected[5, 0, 0, 0] = (int(expected[5, 0, 0, 0]) + off_by) % 256
    test = SelfTest(BlobRef(BLOB, "input"), BlobRef(BLOB, "output"), {"float32": 1})
    blobs = {BLOB: {"input": np.stack(clip), "output": expected}}
    if synthetic.blobs:
        blobs["blobs/tables.safetensors"] = dict(synthetic.blobs)
    manifest = make_manifest(synthetic.program, synthetic.graphs(), selftest=test)
    return make_bundle(folder, manifest, synthetic.onnx(), blobs)


@pytest.mark.parametrize("off_by", [0, 9])
@pytest.mark.parametrize("name", ["live2diff", "streamv2v"])
def test_the_same_report(name: str, off_by: int, library: Library, tmp_path: Path) -> None:
    bundle = bundle_with_selftest(tmp_path / "bundle", name, off_by)
    handle = library.open(bundle.root)
    cpp = CppStream(library, handle, options=json.dumps(OPTIONS))
    frames = Footage(9)
    clip = [frames.next() for _ in range(24)]
    with Stream(bundle, options=OPTIONS) as python:
        for frame in clip[:10]:
            python.push(frame)
            cpp.push(frame)
        report, expected = cpp.selftest(), python.selftest()
        assert [getattr(report, name) for name in FIELDS] == [getattr(expected, name) for name in FIELDS]
        assert report.passed == (off_by == 0)
        assert report.frames == 14
        for frame in clip[10:]:
            made, wanted = cpp.push(frame), python.push(frame)
            assert [m.rgb8.tobytes() for m in made] == [w.rgb8.tobytes() for w in wanted]
            assert [m.timestamp for m in made] == [w.timestamp for w in wanted]
    cpp.close()
    library.destroy("bundle", handle)


def test_a_bundle_without_frames(library: Library, bundles) -> None:
    handle = library.open(bundles("std").root)
    stream = CppStream(library, handle, options=json.dumps(OPTIONS))
    with pytest.raises(Exception, match="V2V-E3060"):
        stream.selftest()
    stream.close()
    library.destroy("bundle", handle)
