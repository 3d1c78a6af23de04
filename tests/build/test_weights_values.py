"""Values of a recipe's ``[weights]``: forms, lists, and what is recorded of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import constants
from v2v_export.bundle_model import recipe_of
from v2v_export.errors import RecipeError
from v2v_export.hub import forget, snapshot, split_hub
from v2v_export.recipe import Recipe, load_recipe
from v2v_export.registry import find_system
from v2v_export.store import Store
from v2v_export.weights import TOP, Scaled, Weights, WeightSlot, listed, one, optional

SHA = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class NoOptions:
    pass


class Fake:
    name = "fake"
    title = "a fake"
    weights = (
        WeightSlot("base", required=False, forms=("file", "folder", "hub"), parts=("unet",)),
        WeightSlot("lora", required=False, many=True),
        WeightSlot("style", required=False, forms=("folder", "hub"), parts=TOP),
    )
    lowerings: Mapping[str, tuple[str, ...]] = {}
    options: type[Any] = NoOptions

    def template(self) -> str:
        return ""

    def load(self, weights: Weights, options: Any, size: Any) -> Any:
        raise NotImplementedError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("sd/unet/config.json", "sd/unet/model.safetensors", "sd/model_index.json", "a.safetensors"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "sd/safety").mkdir()
    for name in ("sd/safety/model.safetensors", "sd/unet/model.non_ema.safetensors", "sd/whole.safetensors"):
        (tmp_path / name).write_text("not read")
    return tmp_path


def read(folder: Path, weights: str) -> Recipe:
    path = folder / "v2v.toml"
    path.write_text(f'name = "x"\nsystem = "fake"\n[frame]\nheight = 8\nwidth = 8\n[weights]\n{weights}\n')
    return load_recipe(path, {"fake": Fake()})


def recorded(recipe: Recipe, store: Path) -> dict[str, Any]:
    weights: dict[str, Any] = recipe.resolved(Store(store).digest)["weights"]
    return weights


def test_optional_slots_may_be_left_out(folder: Path) -> None:
    recipe = read(folder, "")
    assert dict(recipe.weights) == {}
    assert optional(recipe.weights, "base") is None
    assert listed(recipe.weights, "lora") == ()
    with pytest.raises(KeyError):
        one(recipe.weights, "base")


def test_a_list_takes_texts_and_tables_with_scales(folder: Path) -> None:
    recipe = read(folder, 'lora = ["random:1", {file = "a.safetensors", scale = 0.8}, {file = "random:2"}]')
    path = str(folder / "a.safetensors")
    assert listed(recipe.weights, "lora") == (Scaled("random:1"), Scaled(path, 0.8), Scaled("random:2"))
    first, second, third = recorded(recipe, folder / "store")["lora"]
    assert (first, third) == ({"random": 1, "scale": 1.0}, {"random": 2, "scale": 1.0})
    assert (second["file"], second["scale"]) == ("a.safetensors", 0.8)
    with pytest.raises(TypeError):
        one(recipe.weights, "lora")


def test_the_order_and_the_scale_of_a_list_count(folder: Path) -> None:
    texts = (
        '["random:1", "random:2"]',
        '["random:2", "random:1"]',
        '["random:1", {file = "random:2", scale = 2}]',
    )
    found = [recorded(read(folder, f"lora = {text}"), folder / "store")["lora"] for text in texts]
    assert found[0] != found[1]
    assert found[0] != found[2]


def test_a_folder_counts_by_the_content_of_what_is_read(folder: Path) -> None:
    recipe = read(folder, 'base = "sd"')
    assert one(recipe.weights, "base") == str(folder / "sd")
    first = recorded(recipe, folder / "store")
    assert first["base"]["folder"] == "sd"
    assert str(folder) not in repr(first)
    for name in ("sd/safety/model.safetensors", "sd/unet/model.non_ema.safetensors", "sd/whole.safetensors"):
        (folder / name).write_text("still not read")
    assert recorded(recipe, folder / "store") == first
    for name in ("sd/unet/model.safetensors", "sd/unet/config.json", "sd/model_index.json"):
        before = recorded(recipe, folder / "store")
        (folder / name).write_text("changed")
        assert recorded(recipe, folder / "store") != before
    before = recorded(recipe, folder / "store")
    (folder / "sd/unet/model.safetensors").rename(folder / "sd/unet/model.fp16.safetensors")
    assert recorded(recipe, folder / "store") != before


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        ('base = "random:0"', "V2V-E5006", "a folder in diffusers' layout"),
        ('lora = ["sd"]', "V2V-E5006", '"sd" is a folder'),
        ('lora = ["hub:a/b"]', "V2V-E5006", '"hub:a/b" is "hub:OWNER/NAME"'),
        ('lora = "random:0"', "V2V-E5004", "brackets"),
        ("lora = [{scale = 1.0}]", "V2V-E5006", '"file"'),
        ('lora = [{file = "random:0", weight = 1.0}]', "V2V-E5006", '"weight"'),
        ('lora = [{file = "random:0", scale = "1"}]', "V2V-E5004", "a finite number"),
        ('lora = [{file = "random:0", scale = nan}]', "V2V-E5004", "a finite number"),
        ('lora = ["b.safetensors"]', "V2V-E5007", 'did you mean "a.safetensors"'),
        ('base = "hub:stable-diffusion"', "V2V-E5006", "hub:OWNER/NAME"),
        ('base = "hub:a/b@"', "V2V-E5006", "@REVISION"),
    ],
)
def test_mistakes(folder: Path, text: str, code: str, word: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read(folder, text)
    assert caught.value.code == code
    assert word in str(caught.value)


def test_the_name_of_a_repository() -> None:
    assert split_hub("hub:a-b/c.d_e") == ("a-b/c.d_e", None)
    assert split_hub("hub:a/b@refs/pr/1") == ("a/b", "refs/pr/1")


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no way to the hub."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    forget()
    return tmp_path / "hub"


def test_a_repository_in_the_cache_needs_no_network(folder: Path, offline: Path) -> None:
    place = offline / "models--some--repo"
    held = place / "snapshots" / SHA / "unet"
    held.mkdir(parents=True)
    (held / "config.json").write_text("{}")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(SHA)
    recipe = read(folder, 'base = "hub:some/repo"')
    assert one(recipe.weights, "base") == "hub:some/repo"
    assert snapshot("hub:some/repo", ("unet",)) == held.parent
    first = recorded(recipe, folder / "store")["base"]
    assert (first["hub"], first["revision"]) == ("some/repo", SHA)
    (held / "config.json").write_text("{ }")
    assert recorded(recipe, folder / "store")["base"]["sha256"] != first["sha256"]


def test_a_repository_that_cannot_be_had(folder: Path, offline: Path) -> None:
    recipe = read(folder, 'base = "hub:some/repo@v1"')
    with pytest.raises(RecipeError) as caught:
        recorded(recipe, folder / "store")
    assert caught.value.code == "V2V-E5008"
    assert "hub:some/repo@v1" in str(caught.value)
    assert "network" in caught.value.fix


def test_a_slot_of_one_file_counts_what_is_at_the_top(folder: Path) -> None:
    recipe = read(folder, 'style = "sd"')
    first = recorded(recipe, folder / "store")
    (folder / "sd/unet/config.json").write_text("changed")
    assert recorded(recipe, folder / "store") == first
    (folder / "sd/adapter_config.json").write_text("{}")
    assert recorded(recipe, folder / "store") != first


def test_a_record_of_random_weights_gives_the_recipe_back(tmp_path: Path) -> None:
    """Lists and left out slots included; a real system, since the record names it."""
    path = tmp_path / "recipe" / "v2v.toml"
    path.parent.mkdir()
    system = find_system("std")
    path.write_text(
        f'name = "x"\nsystem = "{system.name}"\n[frame]\nheight = 512\nwidth = 512\n[weights]\n'
        'base = "random:4"\nvae = "random:6"\nlora = ["random:5", {file = "random:7", scale = 0.25}]\n'
    )
    recipe = load_recipe(path)
    record = json.loads(json.dumps(recipe.resolved(Store(tmp_path / "store").digest)))
    bundle: Any = SimpleNamespace(
        root=tmp_path / "x.v2v", manifest=SimpleNamespace(provenance={"recipe": record})
    )
    found = recipe_of(bundle, None, Store(tmp_path / "store"))
    assert found.weights == recipe.weights
    assert found.weights["lora"] == (Scaled("random:5"), Scaled("random:7", 0.25))
