"""Repositories of the hub: what is fetched, what the cache serves without the hub, and what refusals say."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from support.hub_server import COMMIT, HubServer, asking, nobody
from v2v_export.errors import RecipeError
from v2v_export.hub import forget, snapshot
from v2v_export.remarks import Remark

FILES = {
    "README.md": b"not read",
    "model_index.json": b"{}",
    "pipe.safetensors": b"all of it once more",
    "unet/config.json": b"{}",
    "unet/diffusion_pytorch_model.safetensors": b"full",
    "unet/diffusion_pytorch_model.fp16.safetensors": b"half",
    "unet/diffusion_pytorch_model.non_ema.safetensors": b"before averaging",
    "vae/config.json": b"{}",
    "vae/diffusion_pytorch_model.safetensors": b"full",
}
UNET = {"model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors"}

GATED = (403, "GatedRepo", "Access to model some/pipe is restricted. You must be authenticated to access it.")
MISSING = (404, "RepoNotFound", "Repository not found")


@pytest.fixture
def hub() -> Iterator[HubServer]:
    server = HubServer(FILES)
    yield server
    server.close()


def held(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def away(path: str) -> tuple[int, dict[str, str], bytes]:
    raise ConnectionResetError


def refused(value: str, parts: tuple[str, ...] = ("unet",)) -> str:
    with pytest.raises(RecipeError) as caught:
        snapshot(value, parts)
    assert caught.value.code == "V2V-E5008"
    return str(caught.value)


def test_what_is_read_is_fetched_and_nothing_else(hub: HubServer, tmp_path: Path) -> None:
    with asking(hub.url, tmp_path):
        folder = snapshot("hub:some/pipe", ("unet",))
        assert folder.name == COMMIT
        assert held(folder) == UNET
        snapshot("hub:some/pipe", ("vae",))
        assert held(folder) == UNET | {"vae/config.json", "vae/diffusion_pytorch_model.safetensors"}


@pytest.mark.parametrize("revision", ["", "@main", f"@{COMMIT}"])
def test_what_was_fetched_serves_without_a_network(revision: str, hub: HubServer, tmp_path: Path) -> None:
    with asking(hub.url, tmp_path):
        folder = snapshot("hub:some/pipe", ("unet",))
    with nobody() as url, asking(url, tmp_path):
        with pytest.warns(Remark, match=rf"ConnectError.*commit {COMMIT} is taken from the cache"):
            assert snapshot(f"hub:some/pipe{revision}", ("unet",)) == folder
        assert "vae/config.json, vae/diffusion_pytorch_model.safetensors" in refused(
            f"hub:some/pipe{revision}", ("vae",)
        )


def test_what_was_fetched_serves_offline(hub: HubServer, tmp_path: Path) -> None:
    with asking(hub.url, tmp_path):
        folder = snapshot("hub:some/pipe", ("unet",))
    with asking(hub.url, tmp_path), pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error", Remark)  # it was asked for
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        hub.asked.clear()
        assert snapshot("hub:some/pipe", ("unet",)) == folder
        assert hub.asked == []


def test_a_cache_of_other_making_serves_as_it_is(tmp_path: Path) -> None:
    """Without the list of the repository's files that huggingface_hub keeps since its second version."""
    place = tmp_path / "models--some--pipe"
    unet = place / "snapshots" / COMMIT / "unet"
    unet.mkdir(parents=True)
    (unet / "config.json").write_text("{}")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT)
    with nobody() as url, asking(url, tmp_path), pytest.warns(Remark):
        assert snapshot("hub:some/pipe", ("unet",)) == unet.parent


def test_a_hub_out_of_reach_is_tried_once(hub: HubServer, tmp_path: Path) -> None:
    whole, hub.answer = hub.answer, away  # type: ignore[method-assign]  # a hub that cannot be reached
    with asking(hub.url, tmp_path):
        for value in ("hub:some/pipe", "hub:other/pipe"):
            text = refused(value)
            assert "RemoteProtocolError" in text
            assert "the cache does not hold it" in text
        assert len(hub.asked) == 1
        hub.answer = whole  # type: ignore[method-assign]  # and that is back
        refused("hub:some/pipe")
        assert len(hub.asked) == 1
        forget()
        assert held(snapshot("hub:some/pipe", ("unet",))) == UNET


def test_a_repository_is_asked_for_once(hub: HubServer, tmp_path: Path) -> None:
    with asking(hub.url, tmp_path):
        for parts in (("unet",), ("vae",), ("scheduler",)):
            snapshot("hub:some/pipe", parts)
    assert hub.asked.count("GET /api/models/some/pipe") == 1


@pytest.mark.parametrize(
    ("refusal", "fix"), [(GATED, "accept its terms"), (MISSING, "check its name")], ids=["gated", "missing"]
)
def test_a_refusal_of_the_hub_is_told_in_its_own_words(
    refusal: tuple[int, str, str], fix: str, tmp_path: Path
) -> None:
    server = HubServer({}, refusal)
    with asking(server.url, tmp_path):
        text = refused("hub:some/pipe")
    server.close()
    assert f"{refusal[2].rstrip('.')}; and the cache does not hold it" in text
    assert fix in text
    assert "outgoing traffic" not in text


def test_the_cache_serves_what_the_hub_refuses(hub: HubServer, tmp_path: Path) -> None:
    with asking(hub.url, tmp_path):
        folder = snapshot("hub:some/pipe", ("unet",))
    hub.refusal = GATED
    with asking(hub.url, tmp_path), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", Remark)
        for parts in (("unet",), ("scheduler",)):
            assert snapshot("hub:some/pipe", parts) == folder
    assert ["is restricted" in str(item.message) for item in told] == [True]


def test_a_connection_that_is_lost_on_the_way(hub: HubServer, tmp_path: Path) -> None:
    """Behind the list of files."""
    whole = hub.answer

    def lost(path: str) -> tuple[int, dict[str, str], bytes]:
        return whole(path) if len(hub.asked) == 1 else away(path)

    hub.answer = lost  # type: ignore[method-assign]  # a hub that goes away
    with asking(hub.url, tmp_path):
        assert "RemoteProtocolError" in refused("hub:some/pipe")
    hub.answer = whole  # type: ignore[method-assign]  # and that is back
    with asking(hub.url, tmp_path):
        folder = snapshot("hub:some/pipe", ("unet",))
    hub.asked.clear()
    hub.answer = lost  # type: ignore[method-assign]  # nothing is left to fetch
    with asking(hub.url, tmp_path), pytest.warns(Remark, match="RemoteProtocolError"):
        assert snapshot("hub:some/pipe", ("unet",)) == folder


def test_an_answer_that_is_no_hubs(tmp_path: Path) -> None:
    """A network's login page answers everything, with 200."""
    server = HubServer({})
    server.answer = lambda path: (200, {}, b"<html>Log in</html>")  # type: ignore[method-assign]  # such a page
    with asking(server.url, tmp_path):
        assert "the cache does not hold it" in refused("hub:some/pipe")
    server.close()
