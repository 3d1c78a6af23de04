"""Packing and unpacking: the same bundle on both sides, and nothing for an archive that is not ours."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.bundles import make_target, write_sample
from v2v_runtime.archive import pack, unpack
from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import write_target
from v2v_runtime.errors import BundleError, V2VError

SEEDS = 200


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_sample(tmp_path_factory.mktemp("archive") / "sample.v2v").root
    # A path of more than 100 bytes takes a header of its own in tar.
    write_target(root, make_target(profile="p" * 60), {"deep/" + "d" * 100 + ".bin": b"far down"})
    return root


@pytest.fixture(autouse=True)
def _without_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Syncing thousands of small files takes most of the time, and no test can see it."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def archive(root: Path) -> Path:
    return pack(root, root.parent / "sample.tar")


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(data: bytes, tmp_path: Path) -> BundleError:
    """The error of unpacking ``data``, after checking that it left nothing."""
    (tmp_path / "bad.tar").write_bytes(data)
    with pytest.raises(BundleError) as caught:
        unpack(tmp_path / "bad.tar", tmp_path / "out")
    assert os.listdir(tmp_path) == ["bad.tar"]
    return caught.value


def rebuilt(
    archive: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes] | None]
) -> bytes:
    """The archive with each member changed (or left out), written by Python's tarfile."""
    result = io.BytesIO()
    with (
        tarfile.open(archive) as source,
        tarfile.open(fileobj=result, mode="w", format=tarfile.GNU_FORMAT) as target,
    ):
        for member in source:
            file = source.extractfile(member)
            assert file is not None
            changed = change(member, file.read())
            if changed is not None:
                info, data = changed
                target.addfile(info, io.BytesIO(data))
    return result.getvalue()


def test_round_trip(root: Path, archive: Path, tmp_path: Path) -> None:
    bundle = unpack(archive, tmp_path / "out.v2v")
    assert content(tmp_path / "out.v2v") == content(root)
    assert bundle.manifest == Bundle.open(root).manifest
    assert os.listdir(tmp_path) == ["out.v2v"]


def test_any_tar_reads_it(root: Path, archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter="data")
    assert content(tmp_path) == content(root)
    Bundle.open(tmp_path)


def test_equal_bundles_give_equal_bytes(root: Path, archive: Path, tmp_path: Path) -> None:
    unpack(archive, tmp_path / "again.v2v")
    os.utime(tmp_path / "again.v2v/bundle.json", (1, 1))
    assert pack(tmp_path / "again.v2v", tmp_path / "again.tar").read_bytes() == archive.read_bytes()


def test_bundle_that_is_packed_says_how_to_unpack(archive: Path) -> None:
    with pytest.raises(BundleError) as caught:
        Bundle.open(archive)
    assert caught.value.code == "V2V-E1003"
    folder = archive.with_name("sample.v2v")
    assert f"v2v_runtime.archive unpack {archive} {folder}" in caught.value.fix


def test_command_line(root: Path, archive: Path, tmp_path: Path) -> None:
    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "v2v_runtime.archive", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run("unpack", archive, tmp_path / "out.v2v").returncode == 0
    assert run("pack", tmp_path / "out.v2v", tmp_path / "out.tar").returncode == 0
    assert (tmp_path / "out.tar").read_bytes() == archive.read_bytes()
    again = run("pack", tmp_path / "out.v2v", tmp_path / "out.tar")
    assert again.returncode == 1
    assert "V2V-E1050" in again.stderr
    assert run("pack", tmp_path / "out.v2v", tmp_path / "out.tar", "--replace").returncode == 0


def test_existing_folder_is_kept(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_bytes(b"x")
    with pytest.raises(BundleError) as caught:
        unpack(archive, tmp_path / "out")
    assert caught.value.code == "V2V-E1050"
    assert content(tmp_path) == {"out/mine": b"x"}
    unpack(archive, tmp_path / "out", replace=True)
    assert not (tmp_path / "out/mine").exists()


def test_damaged_bundle_is_not_packed(archive: Path, tmp_path: Path) -> None:
    root = unpack(archive, tmp_path / "b.v2v").root
    (root / "graphs/tint.onnx").write_bytes(b"THE graph")
    with pytest.raises(BundleError) as caught:
        pack(root, tmp_path / "b.tar")
    assert caught.value.code == "V2V-E1012"
    assert os.listdir(tmp_path) == ["b.v2v"]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        unpack(tmp_path / "none.tar", tmp_path / "out")
    assert caught.value.code == "V2V-E1001"


def test_flipped_byte(archive: Path, tmp_path: Path) -> None:
    good = archive.read_bytes()
    for seed in range(SEEDS):
        chance = random.Random(seed)
        bad = bytearray(good)
        bad[chance.randrange(len(bad))] ^= chance.randrange(1, 256)
        assert refused(bytes(bad), tmp_path).code.startswith("V2V-E10"), f"seed {seed}"


def test_truncated(archive: Path, tmp_path: Path) -> None:
    good = archive.read_bytes()
    chance = random.Random(1)
    for length in [
        0,
        1,
        511,
        512,
        513,
        len(good) - 1024,
        len(good) - 1,
        *chance.sample(range(len(good)), 50),
    ]:
        assert refused(good[:length], tmp_path).code == "V2V-E1040", length


def test_longer(archive: Path, tmp_path: Path) -> None:
    assert refused(archive.read_bytes() + bytes(512), tmp_path).code == "V2V-E1040"


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "graphs/../../evil", "graphs/evil.onnx", "targets/evil", ""]
)
def test_member_of_another_name(archive: Path, tmp_path: Path, name: str) -> None:
    def change(info: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if info.name == "graphs/tint.onnx":
            info.name = name
        return info, data

    assert refused(rebuilt(archive, change), tmp_path).code == "V2V-E1041"
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
        tarfile.GNUTYPE_SPARSE,
        tarfile.XHDTYPE,
    ],
)
def test_member_that_is_no_plain_file(archive: Path, tmp_path: Path, kind: bytes) -> None:
    def change(info: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if info.name == "graphs/tint.onnx":
            info.type, info.linkname, info.size = kind, "bundle.json", 0
            return info, b""
        return info, data

    assert refused(rebuilt(archive, change), tmp_path).code == "V2V-E1041"


def test_member_left_out(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as file:
        names = file.getnames()
    for name in names:
        data = rebuilt(archive, lambda info, data, name=name: None if info.name == name else (info, data))
        # Python pads archives to 10240 bytes; what ``pack`` writes ends after two empty blocks.
        end = len(data.rstrip(b"\0"))
        data = data[: end + -end % 512 + 1024]
        refused(data, tmp_path)


def test_member_of_another_size(archive: Path, tmp_path: Path) -> None:
    def change(info: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if info.name == "graphs/tint.onnx":
            info.size += 1
            return info, data + b"x"
        return info, data

    assert refused(rebuilt(archive, change), tmp_path).code == "V2V-E1011"


def test_claimed_size_takes_no_memory(archive: Path, tmp_path: Path) -> None:
    """A manifest that claims more than the archive holds is refused before anything is read."""
    info = tarfile.TarInfo("bundle.sha256")
    info.size = 2**60
    info.mode = 0o644
    error = refused(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024), tmp_path)
    assert error.code == "V2V-E1011"


def test_every_error_is_ours(tmp_path: Path) -> None:
    chance = random.Random(5)
    for _ in range(100):
        (tmp_path / "x.tar").write_bytes(chance.randbytes(chance.randrange(3000)))
        with pytest.raises(V2VError):
            unpack(tmp_path / "x.tar", tmp_path / "out")
