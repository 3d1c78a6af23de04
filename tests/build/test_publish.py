"""The moment in which a new bundle takes the place of the old one."""

from __future__ import annotations

from pathlib import Path

import pytest
from v2v_export.build.assemble import publish, recover


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path, Path]:
    """(part, out, aside), a new bundle in the first and an old one in the second."""
    part, out, aside = (tmp_path / name for name in ("part", "out", "aside"))
    for folder, text in ((part, "new"), (out, "old")):
        folder.mkdir()
        (folder / "bundle.json").write_text(text)
    return part, out, aside


def _content(folder: Path) -> str:
    return (folder / "bundle.json").read_text()


def test_the_new_one_takes_the_place(places: tuple[Path, Path, Path]) -> None:
    part, out, aside = places
    publish(part, out, aside)
    assert _content(out) == "new"
    assert not part.exists()
    assert not aside.exists()


def test_ended_between_the_two_moves(places: tuple[Path, Path, Path]) -> None:
    part, out, aside = places
    out.rename(aside)
    recover(part, out, aside)
    assert _content(out) == "old"
    assert not part.exists()
    assert not aside.exists()


def test_ended_before_the_old_one_was_taken_away(places: tuple[Path, Path, Path]) -> None:
    part, out, aside = places
    out.rename(aside)
    part.rename(out)
    recover(part, out, aside)
    assert _content(out) == "new"
    assert not aside.exists()


def test_a_move_that_the_system_refuses(
    places: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    part, out, aside = places
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self == part:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="space"):
        publish(part, out, aside)
    recover(part, out, aside)
    assert _content(out) == "old"
