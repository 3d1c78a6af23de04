"""The frames that a bundle carries, played in C++ and Python: the same report, and the stream as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.cpp import CppStream, Library
from support.pairs import Footage
from support.selftests import bundle_with_selftest
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


def test_a_bundle_without_frames(library: Library, bundles) -> None:
    handle = library.open(bundles("std").root)
    stream = CppStream(library, handle, options=json.dumps(OPTIONS))
    with pytest.raises(Exception, match="V2V-E3060"):
        stream.selftest()
    stream.close()
    library.destroy("bundle", handle)
