"""``pack``, ``unpack`` and ``cache`` on a real bundle of the smallest widths."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import told
from support.recipes import small_shortcut
from v2v_export.cli import main
from v2v_runtime.bundle import Bundle

RECIPE = small_shortcut(frames=2, interval=1, schedule="teacher")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("V2V_CACHE", str(tmp_path / "cache"))
    (tmp_path / "v2v.toml").write_text(RECIPE)
    assert main(["build", str(tmp_path / "v2v.toml")]) == 0
    return tmp_path


def test_a_bundle_survives_packing_and_the_cache_being_freed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Bundle.open(folder / "small.v2v")
    packed = told(capsys, "pack", folder / "small.v2v")
    archive = folder / "small.v2v.tar"
    assert packed == {"archive": str(archive), "bytes": archive.stat().st_size}

    assert main(["pack", str(folder / "small.v2v")]) == 1, "an archive that is there is not replaced unasked"
    assert "V2V-E1" in capsys.readouterr().err

    (folder / "elsewhere").mkdir()
    unpacked = told(capsys, "unpack", archive, folder / "elsewhere" / "again.v2v")
    assert unpacked["identity"] == bundle.manifest.identity
    assert unpacked["targets"] == ["cpu.onnxruntime"]

    before = told(capsys, "cache")
    on_disk = sum(path.stat().st_size for path in (folder / "cache").rglob("*") if path.is_file())
    assert 0 < sum(kind["bytes"] for kind in before["stages"].values()) <= on_disk
    assert before["freed_bytes"] == 0
    assert told(capsys, "cache", "--free", "1")["stages"] == before["stages"], "all of it was used today"
    after = told(capsys, "cache", "--free", "0")
    assert after["stages"] == {}
    assert after["freed_bytes"] == sum(kind["bytes"] for kind in before["stages"].values())
    Bundle.open(folder / "elsewhere" / "again.v2v", verify="full")


def test_unpack_asks_for_a_name_that_it_cannot_guess(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = folder / "shipped"
    told(capsys, "pack", folder / "small.v2v", archive)
    assert main(["unpack", str(archive)]) == 2
    assert "name the folder" in " ".join(capsys.readouterr().err.split())
