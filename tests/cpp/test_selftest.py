"""The frames that a bundle carries, played in C++ and Python: the same report, and the stream as it was."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from conformance.programs.base import HEIGHT, WIDTH
from support.cpp import CppError, CppStream, Library
from support.pairs import Footage
from support.selftests import BLOB, bundle_with_selftest
from v2v_runtime.blobs import encode_safetensors
from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import sealed_manifest
from v2v_runtime.errors import BundleError
from v2v_runtime.manifest.encode import readable_json, to_json
from v2v_runtime.seal import seal_of, seal_path
from v2v_runtime.stream import Stream

OPTIONS = {"threads": 1}
FIELDS = ("frames", "expected", "max_difference", "worst_frame", "tolerance", "passed")


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


@pytest.mark.parametrize("empty", ["input", "output"])
def test_a_selftest_of_no_frames_is_none(empty: str, library: Library, tmp_path: Path) -> None:
    """It would pass, whatever the engines do."""
    bundle = bundle_with_selftest(tmp_path / "bundle", "live2diff")
    frames = {
        name: np.zeros((int(name != empty), HEIGHT, WIDTH, 3), np.uint8) for name in ("input", "output")
    }
    data = encode_safetensors(frames)
    (bundle.root / BLOB).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    files = [
        dataclasses.replace(entry, sha256=digest, size=len(data)) if entry.path == BLOB else entry
        for entry in bundle.manifest.files
    ]
    manifest = readable_json(to_json(sealed_manifest(bundle.manifest, files)))
    (bundle.root / "bundle.json").write_bytes(manifest)
    (bundle.root / seal_path("bundle.json")).write_bytes(seal_of("bundle.json", manifest))
    words = rf"V2V-E1035\] selftest\.{empty}: .*\n  expected: \w+ \[at least 1, {HEIGHT}, {WIDTH}, 3\]"
    with pytest.raises(BundleError, match=words):
        Bundle.open(bundle.root)
    with pytest.raises(CppError, match=words):
        library.open(bundle.root)


def test_a_bundle_without_frames(library: Library, bundles) -> None:
    handle = library.open(bundles("std").root)
    stream = CppStream(library, handle, options=json.dumps(OPTIONS))
    with pytest.raises(Exception, match="V2V-E3060"):
        stream.selftest()
    stream.close()
    library.destroy("bundle", handle)
