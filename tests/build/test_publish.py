"""The moment in which a new bundle takes the place of the old one."""

from __future__ import annotations

from pathlib import Path

import pytest
from v2v_export.build import place
from v2v_export.build.place import exchange, publish, recover


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


@pytest.fixture
def no_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that cannot exchange two names."""
    monkeypatch.setattr(place, "exchange", lambda one, other: False)


def test_two_names_change_places_at_once(places: tuple[Path, Path, Path]) -> None:
    part, out, _ = places
    if not exchange(part, out):
        pytest.skip("this file system cannot exchange two names")
    assert (_content(part), _content(out)) == ("old", "new")


def test_an_exchange_that_the_system_refuses(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "one", tmp_path / "none")


def test_the_place_is_never_empty(places: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """With an exchange, nothing is ever renamed away from ``out``."""
    part, out, aside = places
    if not exchange(part, out):
        pytest.skip("this file system cannot exchange two names")
    exchange(part, out)
    monkeypatch.setattr(Path, "rename", lambda self, target: pytest.fail(f"{self.name} was renamed"))
    publish(part, out, aside)
    assert _content(out) == "new"
    assert not part.exists()


def test_ended_right_after_the_exchange(places: tuple[Path, Path, Path]) -> None:
    part, out, aside = places
    if not exchange(part, out):
        pytest.skip("this file system cannot exchange two names")
    recover(part, out, aside)
    assert _content(out) == "new"
    assert not part.exists()


def test_the_first_one(places: tuple[Path, Path, Path]) -> None:
    part, out, aside = places
    out.rename(out.with_name("elsewhere"))
    publish(part, out, aside)
    assert _content(out) == "new"


@pytest.mark.parametrize("how", ["exchange", "two moves"])
def test_the_new_one_takes_the_place(
    places: tuple[Path, Path, Path], how: str, request: pytest.FixtureRequest
) -> None:
    if how == "two moves":
        request.getfixturevalue("no_exchange")
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
    places: tuple[Path, Path, Path], no_exchange: None, monkeypatch: pytest.MonkeyPatch
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
