"""A bundle with one changed or missing byte, in any of its files, is refused with a code."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.bundles import write_sample
from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import BundleError, V2VError

SEEDS = 500
TARGET = "targets/rtx4090.tensorrt"
#: file -> the code that a changed byte in it gives
SECTIONS = {
    "bundle.json": "V2V-E1016",
    "bundle.sha256": "V2V-E1016",
    "graphs/tint.onnx": "V2V-E1012",
    "graphs/shared/weights.data": "V2V-E1012",
    "blobs/tables.safetensors": "V2V-E1012",
    "blobs/selftest.safetensors": "V2V-E1012",
    f"{TARGET}/target.json": "V2V-E1016",
    f"{TARGET}/target.sha256": "V2V-E1016",
    f"{TARGET}/engines/tint.plan": "V2V-E1012",
    f"{TARGET}/build.txt": "V2V-E1012",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample(tmp_path_factory.mktemp("damage") / "sample.v2v").root


def open_all(root: Path) -> None:
    bundle = Bundle.open(root)
    bundle.verify_target_files(bundle.target("rtx4090"))


def test_the_sections_are_all_files(root: Path) -> None:
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    other = {file for file in files if file.startswith("targets/cpu.onnxruntime/")}
    assert set(SECTIONS) == files - other
    open_all(root)


@pytest.mark.parametrize("section", SECTIONS)
def test_flipped_byte(root: Path, section: str) -> None:
    path = root / section
    good = path.read_bytes()
    whole = Bundle.open(root)

    def look() -> None:
        bundle = whole if section.startswith("targets/") else Bundle.open(root)
        bundle.verify_target_files(bundle.target("rtx4090"))

    try:
        for seed in range(SEEDS):
            chance = random.Random(f"{section} {seed}")
            bad = bytearray(good)
            bad[chance.randrange(len(bad))] ^= chance.randrange(1, 256)
            path.write_bytes(bad)
            with pytest.raises(BundleError) as caught:
                look()
            assert caught.value.code == SECTIONS[section], f"seed {seed}: {caught.value}"
            assert caught.value.fix
    finally:
        path.write_bytes(good)
    open_all(root)


@pytest.mark.parametrize("section", SECTIONS)
def test_truncated(root: Path, section: str) -> None:
    path = root / section
    good = path.read_bytes()
    try:
        for length in {0, 1, len(good) // 2, len(good) - 1}:
            path.write_bytes(good[:length])
            with pytest.raises(BundleError) as caught:
                open_all(root)
            sealed = section.endswith((".json", ".sha256"))
            assert caught.value.code == ("V2V-E1016" if sealed else "V2V-E1011"), caught.value
    finally:
        path.write_bytes(good)


@pytest.mark.parametrize("section", SECTIONS)
def test_longer(root: Path, section: str) -> None:
    path = root / section
    good = path.read_bytes()
    try:
        path.write_bytes(good + b"\n")
        with pytest.raises(BundleError) as caught:
            open_all(root)
        sealed = section.endswith((".json", ".sha256"))
        assert caught.value.code == ("V2V-E1016" if sealed else "V2V-E1011")
    finally:
        path.write_bytes(good)


@pytest.mark.parametrize("section", SECTIONS)
def test_missing(root: Path, section: str) -> None:
    path = root / section
    good = path.read_bytes()
    path.unlink()
    try:
        with pytest.raises(BundleError) as caught:
            open_all(root)
        expected = "V2V-E1002" if section == "bundle.json" else "V2V-E1010"
        assert caught.value.code == expected, caught.value
    finally:
        path.write_bytes(good)


def test_sizes_alone_do_not_see_content(root: Path) -> None:
    path = root / "graphs/tint.onnx"
    good = path.read_bytes()
    try:
        path.write_bytes(b"x" * len(good))
        bundle = Bundle.open(root, verify="sizes")
        assert bundle.graph_path("main", "tint") == path
        with pytest.raises(V2VError):
            Bundle.open(root)
    finally:
        path.write_bytes(good)


def test_files_that_change_once_the_bundle_is_open_are_hashed_again(root: Path) -> None:
    """A graph may read any listed file: what counts is whether its content is still what was listed."""
    bundle = Bundle.open(root)
    for name in ("graphs/shared/weights.data", "blobs/tables.safetensors"):
        path = root / name
        good = path.read_bytes()
        path.unlink()
        with pytest.raises(BundleError, match="V2V-E1010"):
            bundle.graph_path("main", "tint")
        path.write_bytes(bytes(len(good)))
        with pytest.raises(BundleError, match="V2V-E1012"):
            bundle.graph_path("main", "tint")
        path.write_bytes(good)
        assert bundle.graph_path("main", "tint") == root / "graphs/tint.onnx"


def test_blobs_are_hashed_whatever_was_verified(root: Path) -> None:
    path = root / "blobs/tables.safetensors"
    good = path.read_bytes()
    try:
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        bundle = Bundle.open(root, verify="sizes")
        with pytest.raises(BundleError) as caught:
            bundle.blob(bundle.manifest.program.params["gain"].default)
        assert caught.value.code == "V2V-E1012"
    finally:
        path.write_bytes(good)


def test_engines_are_hashed_as_they_are_read(root: Path) -> None:
    path = root / TARGET / "engines/tint.plan"
    good = path.read_bytes()
    bundle = Bundle.open(root)
    target = bundle.target("rtx4090")
    assert bundle.read_target_file(target, "engines/tint.plan") == good
    try:
        path.write_bytes(b"NATIVE CODE")
        with pytest.raises(BundleError) as caught:
            bundle.read_target_file(target, "engines/tint.plan")
        assert caught.value.code == "V2V-E1012"
    finally:
        path.write_bytes(good)
