"""Building where a bundle stands already: damage is found and mended, and what is not ours stays."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from v2v_export.build import BuildResult, build
from v2v_export.errors import BuildError
from v2v_export.profiles import load_profile
from v2v_export.recipe import load_recipe
from v2v_export.store import Store
from v2v_export.targets import tensorrt
from v2v_runtime.bundle import Bundle

CPU = load_profile("cpu")
TWIN = dataclasses.replace(CPU, name="twin")


@pytest.fixture
def out(warm_store: Store, recipe_path: Path, tmp_path: Path) -> Path:
    """A bundle with two targets."""
    place = tmp_path / "out.v2v"
    build(load_recipe(recipe_path), place, [CPU, TWIN], store=warm_store, verify=False)
    return place


def _again(recipe_path: Path, out: Path, store: Store) -> BuildResult:
    return build(load_recipe(recipe_path), out, [CPU], store=store, verify=False)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["graphs/fp32.weights", "blobs/selftest.safetensors"])
def test_a_flipped_bit_is_mended_and_every_target_stays(
    warm_store: Store, recipe_path: Path, out: Path, name: str
) -> None:
    before = (out / name).read_bytes()
    _flip(out / name)
    result = _again(recipe_path, out, warm_store)
    assert not result.up_to_date
    assert any("damaged" in note and name in note for note in result.notes), result.notes
    assert (out / name).read_bytes() == before
    bundle = Bundle.open(out)
    assert list(bundle.targets()) == ["cpu.onnxruntime", "twin.onnxruntime"], "none is lost"
    assert _again(recipe_path, out, warm_store).up_to_date


def test_a_manifest_that_cannot_be_read_is_made_again(
    warm_store: Store, recipe_path: Path, out: Path
) -> None:
    _flip(out / "bundle.json")
    result = _again(recipe_path, out, warm_store)
    assert any("twin.onnxruntime" in note for note in result.notes), "what is lost is said"
    assert list(Bundle.open(out).targets()) == ["cpu.onnxruntime"]


@pytest.mark.parametrize("name", ["target.json", "target.sha256"])
def test_a_damaged_target_is_built_again(warm_store: Store, recipe_path: Path, out: Path, name: str) -> None:
    _flip(out / "targets/cpu.onnxruntime" / name)
    result = _again(recipe_path, out, warm_store)
    assert any("cpu.onnxruntime" in note for note in result.notes), result.notes
    assert list(result.targets) == ["cpu.onnxruntime", "twin.onnxruntime"]
    assert Bundle.open(out).target("cpu").status == "built"
    assert _again(recipe_path, out, warm_store).up_to_date


def test_a_damaged_engine_is_put_back(warm_store: Store, recipe_path: Path, tmp_path: Path) -> None:
    profile, out = load_profile("rtx4090"), tmp_path / "out.v2v"
    if not tensorrt.BUILDER.available().ok:
        pytest.skip("TensorRT-RTX is not installed")
    recipe = load_recipe(recipe_path)
    build(recipe, out, [profile], store=warm_store, verify=False)
    engine = out / "targets/rtx4090.tensorrt" / Bundle.open(out).target("rtx4090").files[0].path
    before = engine.read_bytes()
    for damage in (lambda: _flip(engine), lambda: engine.write_bytes(before[:-1]), engine.unlink):
        damage()
        result = build(recipe, out, [profile], store=warm_store, verify=False)
        assert any("rtx4090.tensorrt is damaged" in note for note in result.notes), result.notes
        assert engine.read_bytes() == before
        assert build(recipe, out, [profile], store=warm_store, verify=False).up_to_date


def test_a_damaged_target_that_was_not_asked_for_is_left_out_and_named(
    warm_store: Store, recipe_path: Path, out: Path
) -> None:
    _flip(out / "targets/twin.onnxruntime/target.json")
    result = _again(recipe_path, out, warm_store)
    assert any("twin.onnxruntime" in note and "left out" in note for note in result.notes), result.notes
    assert list(result.targets) == list(Bundle.open(out).targets()) == ["cpu.onnxruntime"]
    assert _again(recipe_path, out, warm_store).up_to_date


@pytest.mark.parametrize(
    "name", ["notes.txt", "mine/notes.txt", "graphs/notes.txt", "targets/cpu.onnxruntime/notes.txt"]
)
@pytest.mark.parametrize("channels", [16, 4], ids=["same recipe", "another recipe"])
def test_a_file_of_the_user_is_not_taken_away(
    warm_store: Store, recipe_path: Path, out: Path, name: str, channels: int
) -> None:
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("hi")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    recipe_path.write_text(recipe_path.read_text().replace("channels = 16", f"channels = {channels}"))
    with pytest.raises(BuildError, match=rf"E7031[\s\S]*{name.split('/')[0]}"):
        _again(recipe_path, out, warm_store)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_file_that_comes_while_the_build_works_is_not_taken_away(
    warm_store: Store, recipe_path: Path, out: Path
) -> None:
    class Writes:
        """Leaves a note in the bundle when its last stage begins."""

        def start(self, stage: str, total: int | None = None) -> None:
            if stage == "publish":
                (out / "notes.txt").write_text("hi")

        def step(self, text: str = "", done: int | None = None, total: int | None = None) -> None:
            pass

        def finish(self, outcome: str, seconds: float) -> None:
            pass

        def note(self, text: str) -> None:
            pass

    _flip(out / "graphs/fp32.weights")
    with pytest.raises(BuildError, match=r"E7031[\s\S]*notes\.txt"):
        build(load_recipe(recipe_path), out, [CPU], store=warm_store, progress=Writes(), verify=False)
    assert (out / "notes.txt").read_text() == "hi"


def test_a_damaged_entry_of_the_store_is_not_published(
    warm_store: Store, recipe_path: Path, out: Path, tmp_path: Path
) -> None:
    (weights,) = warm_store.root.glob("variant/*/data/fp32.weights")
    good = weights.read_bytes()
    _flip(weights)
    place = tmp_path / "second.v2v"
    result = build(load_recipe(recipe_path), place, [CPU], store=warm_store, verify=False)
    outcomes = {stage.name: stage.outcome for stage in result.stages}
    assert outcomes["graphs fp32"] == "built"
    assert (place / "graphs/fp32.weights").read_bytes() == good == weights.read_bytes()
