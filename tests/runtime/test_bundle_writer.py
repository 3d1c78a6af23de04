"""The writer publishes whole, valid bundles and targets, or nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.bundles import make_manifest, make_target, write_sample
from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import write_bundle, write_target
from v2v_runtime.errors import BundleError, ManifestError
from v2v_runtime.manifest.model import Call, Emit, FrameSpec, Graph, Manifest, Phase, Program, TensorSpec

FRAME = TensorSpec("uint8", (1, 4, 6, 3))


def draft(**phase: Any) -> Manifest:
    call = Call("invert", "invert", {"x": "video"}, {"y": "out"})
    fields = {"name": "play", "steps": "forever", "calls": (call,), "emit": Emit("out")} | phase
    video = FrameSpec(4, 6)
    program = Program({"video": video}, {"video": video}, (Phase(**fields),), max_frames=1)
    return make_manifest(program, {"invert": Graph({"x": FRAME}, {"y": FRAME})})


def test_files_are_copied_and_hashed(tmp_path: Path) -> None:
    source = tmp_path / "source.onnx"
    source.write_bytes(b"a graph" * 1000)
    done = write_bundle(
        tmp_path / "out.v2v",
        draft(),
        graphs={"graphs/invert.onnx": source, "graphs/invert.data": b"weights"},
    )
    assert [entry.path for entry in done.files] == ["graphs/invert.data", "graphs/invert.onnx"]
    assert done.files[0].sha256 == hashlib.sha256(b"weights").hexdigest()
    assert done.files[1].size == 7000
    assert source.read_bytes() == (tmp_path / "out.v2v/graphs/invert.onnx").read_bytes()
    assert Bundle.open(tmp_path / "out.v2v").manifest == done
    assert sorted(os.listdir(tmp_path)) == ["out.v2v", "source.onnx"]


def test_lists_are_as_good_as_tuples(tmp_path: Path) -> None:
    calls: Any = [Call("invert", "invert", {"x": "video"}, {"y": "out"})]
    one = write_bundle(tmp_path / "a", draft(calls=calls, resets=[]), graphs={"graphs/invert.onnx": b"x"})
    two = write_bundle(tmp_path / "b", draft(), graphs={"graphs/invert.onnx": b"x"})
    assert one == two


def test_identity_follows_content_and_not_names(tmp_path: Path) -> None:
    one = write_bundle(tmp_path / "a", draft(), graphs={"graphs/invert.onnx": b"x"})
    renamed = dataclasses.replace(draft(), name="another", system="other", provenance={"when": 1.5})
    assert write_bundle(tmp_path / "b", renamed, graphs={"graphs/invert.onnx": b"x"}).identity == one.identity
    assert write_bundle(tmp_path / "c", draft(), graphs={"graphs/invert.onnx": b"y"}).identity != one.identity


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        (draft(emit=None), "V2V-E2077"),
        (draft(gather=0), "V2V-E2024"),
        (draft(gather=np.int64(1)), None),
        (dataclasses.replace(draft(), provenance={"psnr": float("nan")}), None),
        (dataclasses.replace(draft(), name=""), "V2V-E2026"),
    ],
)
def test_invalid_manifest_leaves_nothing(tmp_path: Path, manifest: Manifest, code: str | None) -> None:
    with pytest.raises(ManifestError if code else TypeError) as caught:
        write_bundle(tmp_path / "out", manifest, graphs={"graphs/invert.onnx": b"x"})
    if code:
        assert getattr(caught.value, "code", None) == code
    assert os.listdir(tmp_path) == []


def test_missing_graph_file_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        write_bundle(tmp_path / "out", draft(), graphs={"graphs/inverse.onnx": b"x"})
    assert caught.value.code == "V2V-E2032"
    with pytest.raises(BundleError):
        write_bundle(tmp_path / "out", draft(), graphs={"graphs/invert.onnx": tmp_path / "none"})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", ["../out.onnx", "/nowhere/out.onnx", "graphs/../../x.onnx"])
def test_paths_that_leave_are_refused_before_they_are_written(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(ManifestError) as caught:
        write_bundle(folder / "b", draft(), graphs={"graphs/invert.onnx": b"x", path: b"x"})
    assert caught.value.code == "V2V-E2021"
    assert os.listdir(folder) == []
    assert os.listdir(tmp_path) == ["in"]


def test_existing_bundle_is_kept_unless_replaced(tmp_path: Path) -> None:
    root = write_sample(tmp_path / "b.v2v").root
    before = Bundle.open(root).manifest
    with pytest.raises(BundleError) as caught:
        write_bundle(root, draft(), graphs={"graphs/invert.onnx": b"x"})
    assert caught.value.code == "V2V-E1050"
    assert Bundle.open(root).manifest == before
    with pytest.raises(ManifestError):
        write_bundle(root, draft(emit=None), graphs={"graphs/invert.onnx": b"x"}, replace=True)
    assert Bundle.open(root).manifest == before
    write_bundle(root, draft(), graphs={"graphs/invert.onnx": b"x"}, replace=True)
    assert list(Bundle.open(root).targets()) == []
    assert os.listdir(tmp_path) == ["b.v2v"]


def test_target_is_replaced_and_others_stay(tmp_path: Path) -> None:
    root = write_sample(tmp_path / "b.v2v").root
    done = write_target(root, make_target(options={"threads": 4}), {"a.plan": b"1"})
    bundle = Bundle.open(root)
    assert bundle.target("cpu") == done
    assert [entry.path for entry in done.files] == ["a.plan"]
    assert bundle.target("rtx4090").status == "built"
    assert sorted(os.listdir(root / "targets")) == ["cpu.onnxruntime", "rtx4090.tensorrt"]
    with pytest.raises(BundleError) as caught:
        write_target(root, make_target(), replace=False)
    assert caught.value.code == "V2V-E1050"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"variant": "fast"}, "V2V-E1022"),
        ({"engines": {"tin": "a.plan"}}, "V2V-E1022"),
        ({"engines": {"tint": "b.plan"}}, "V2V-E2080"),
        ({"profile": "../cpu"}, "V2V-E2020"),
        ({"status": "good"}, "V2V-E2015"),
    ],
)
def test_invalid_target_leaves_the_old_one(tmp_path: Path, fields: dict[str, Any], code: str) -> None:
    root = write_sample(tmp_path / "b.v2v").root
    before = Bundle.open(root).target("cpu")
    with pytest.raises((BundleError, ManifestError)) as caught:
        write_target(root, make_target(**fields), {"a.plan": b"1"})
    assert caught.value.code == code
    assert Bundle.open(root).target("cpu") == before
    assert sorted(os.listdir(root / "targets")) == ["cpu.onnxruntime", "rtx4090.tensorrt"]
    assert os.listdir(tmp_path) == ["b.v2v"]
