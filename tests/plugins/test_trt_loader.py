"""TensorRT is found by what is installed, and its library is linked once, whole, where the loader looks."""

from __future__ import annotations

import os
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from v2v_plugins import trt_loader
from v2v_plugins.errors import BackendError
from v2v_plugins.trt_loader import LIBRARY, Flavour


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of libraries as the wheel lays it out; returns its library."""
    folder = tmp_path / "site" / "tensorrt_rtx_libs"
    folder.mkdir(parents=True)
    library = folder / f"{LIBRARY}.1"
    library.write_bytes(b"ELF")
    spec = types.SimpleNamespace(submodule_search_locations=[str(folder)])
    monkeypatch.setattr(trt_loader.importlib.util, "find_spec", lambda name: spec)
    return library


def test_the_link_leads_to_the_installed_library(installed: Path, tmp_path: Path) -> None:
    folder = trt_loader.library_dir(tmp_path / "cache")
    assert [item.name for item in folder.iterdir()] == [LIBRARY]
    assert (folder / LIBRARY).resolve() == installed


def test_many_at_once_make_one_link(installed: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: trt_loader.library_dir(tmp_path / "cache"), range(32)))
    (folder,) = folders
    assert [item.name for item in folder.iterdir()] == [LIBRARY]
    assert (folder / LIBRARY).resolve() == installed


@pytest.mark.parametrize("broken", ["dangling", "file"])
def test_what_stands_in_the_links_place_is_replaced(installed: Path, tmp_path: Path, broken: str) -> None:
    link = trt_loader.library_dir(tmp_path / "cache") / LIBRARY
    link.unlink()
    if broken == "dangling":
        link.symlink_to(tmp_path / "gone")
    else:
        link.write_bytes(b"half")
    trt_loader.library_dir(tmp_path / "cache")
    assert link.resolve() == installed


def test_two_installations_do_not_share_a_link(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = trt_loader.library_dir(tmp_path / "cache")
    other = tmp_path / "other" / f"{LIBRARY}.1"
    other.parent.mkdir()
    other.write_bytes(b"ELF")
    spec = types.SimpleNamespace(submodule_search_locations=[str(other.parent)])
    monkeypatch.setattr(trt_loader.importlib.util, "find_spec", lambda name: spec)
    assert trt_loader.library_dir(tmp_path / "cache") != first
    assert (first / LIBRARY).resolve() == installed


@pytest.mark.parametrize("given", ["", "/opt/lib:/usr/lib", "again"])
def test_a_childs_search_path_begins_with_the_link(installed: Path, tmp_path: Path, given: str) -> None:
    cache = tmp_path / "cache"
    folder = str(trt_loader.library_dir(cache))
    base = {"LD_LIBRARY_PATH": f"/opt/lib:{folder}" if given == "again" else given, "HOME": "/h"}
    environment = trt_loader.child_environment(base, cache)
    path = environment["LD_LIBRARY_PATH"].split(os.pathsep)
    assert path[0] == folder
    assert path[1:] == [item for item in base["LD_LIBRARY_PATH"].split(":") if item not in ("", folder)]
    assert environment["HOME"] == "/h"


def test_a_wheel_without_its_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = types.SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(trt_loader.importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(BackendError, match="tensorrt_rtx_libs") as caught:
        trt_loader.library_dir(tmp_path)
    assert caught.value.code == "V2V-E4702"


def test_nothing_installed_says_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    flavours = (Flavour("rtx", ("no_such_libs", "no_such_rtx")), Flavour("full", ("no_such_full",)))
    monkeypatch.setattr(trt_loader, "FLAVOURS", flavours)
    assert trt_loader.find_tensorrt() is None
    with pytest.raises(BackendError, match=r"no_such_libs.*no_such_full") as caught:
        trt_loader.load()
    assert caught.value.code == "V2V-E4701"
    with pytest.raises(BackendError, match="flavour 'full'") as caught:
        trt_loader.load("full")
    assert "no_such_libs" not in str(caught.value)


def test_the_first_flavour_that_is_whole_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    flavours = (Flavour("rtx", ("json", "no_such_rtx")), Flavour("full", ("json",)))
    monkeypatch.setattr(trt_loader, "FLAVOURS", flavours)
    assert trt_loader.find_tensorrt() == flavours[1]
    module = trt_loader.load()
    assert module.__name__ == "json"
    assert trt_loader.flavour_of(module) == "full"
