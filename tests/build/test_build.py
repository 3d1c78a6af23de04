"""A build of a system that this package does not know, and what building again does."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from v2v_export.build import Parity, ParityRequest, build
from v2v_export.errors import BuildError, V2VError, VerdictError
from v2v_export.profiles import load_profile
from v2v_export.progress import JsonProgress
from v2v_export.recipe import load_recipe
from v2v_export.store import Store
from v2v_runtime.bundle import Bundle

CPU = load_profile("cpu")


def test_a_stranger_s_system_becomes_a_bundle(warm: Any) -> None:
    bundle = Bundle.open(warm.bundle)
    manifest = bundle.manifest
    assert manifest.system == "tiny"
    assert list(manifest.variants) == ["fp32"]
    assert list(manifest.graphs) == ["picture", "feature"]
    assert list(manifest.graphs["picture"].inputs) == ["frame", "memory", "gain"]
    assert set(manifest.graphs["picture"].outputs) == {"out", "ok"}, "the tap is not a port"
    target = bundle.target("cpu")
    assert (target.backend, target.variant, target.status) == ("onnxruntime", "fp32", "built")
    assert target.options["provider"] == "cpu"
    assert target.counters["picture"]["nodes"]["Conv"] == 2
    assert target.counters["feature"]["nodes"]["Conv"] == 1


def test_the_graphs_play_the_self_test(warm: Any) -> None:
    """The stream played by hand: memory starts as zeros and takes the feature of every third frame."""
    bundle = Bundle.open(warm.bundle)
    sessions = {
        graph: onnxruntime.InferenceSession(str(bundle.graph_path("fp32", graph)))
        for graph in bundle.manifest.graphs
    }
    selftest = bundle.manifest.selftest
    assert selftest is not None
    frames, expected = bundle.blob(selftest.input), bundle.blob(selftest.output)
    assert frames.shape == expected.shape == (5, 16, 24, 3)
    gain = bundle.blob(bundle.manifest.program.params["gain"].default)
    memory = np.zeros(bundle.manifest.program.slots["memory"].shape, np.float32)
    for t, frame in enumerate(frames):
        feeds = {"frame": frame[None], "memory": memory, "gain": gain}
        out, ok = sessions["picture"].run(["out", "ok"], feeds)
        assert ok.all()
        assert np.abs(out[0].astype(int) - expected[t]).max() <= selftest.tolerance["float32"]
        if t % 3 == 2:
            (memory,) = sessions["feature"].run(["memory"], {"frame": frame[None]})
    assert expected.std() > 5, "a flat picture would prove nothing"
    assert not np.array_equal(expected[2], expected[3])


def test_graphs_of_a_variant_share_their_weights(warm: Any) -> None:
    bundle = Bundle.open(warm.bundle)
    places = {}
    for graph in ("picture", "feature"):
        model = onnx.load_model(bundle.graph_path("fp32", graph), load_external_data=False)
        for tensor in model.graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                entry = {item.key: item.value for item in tensor.external_data}
                places[graph, tensor.dims[0], tensor.dims[1]] = (entry["location"], entry["offset"])
    assert places["picture", 16, 3] == places["feature", 16, 3], "one convolution, one place"
    # Two kernels of 16 x 3 x 3 x 3 floats; a third would not fit.
    assert bundle.root.joinpath("graphs/fp32.weights").stat().st_size < 3 * 16 * 3 * 9 * 4


def test_building_again_does_nothing_and_says_so(
    warm: Any, warm_store: Store, recipe_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.v2v"
    first = build(load_recipe(recipe_path), out, [CPU], store=warm_store, verify=False)
    assert {stage.outcome for stage in first.stages} == {"cached", "done"}
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = build(load_recipe(recipe_path), out, [CPU], store=warm_store, verify=False)
    assert again.up_to_date
    assert again.stages == ()
    assert list(again.targets) == ["cpu.onnxruntime"]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_nothing_to_do_does_not_import_torch(
    warm: Any, recipe_path: Path, driver: Any, tmp_path: Path
) -> None:
    process = driver(str(recipe_path), str(warm.bundle), str(tmp_path / "empty"))
    out, err = process.communicate(timeout=60)
    result = json.loads(out.splitlines()[-1])
    assert result == {"event": "result", "up_to_date": True, "imported": []}, err


def test_a_target_is_added_without_building_the_others(
    warm_store: Store, recipe_path: Path, tmp_path: Path
) -> None:
    out, recipe = tmp_path / "out.v2v", load_recipe(recipe_path)
    build(recipe, out, [CPU], store=warm_store, verify=False)
    identity = Bundle.open(out).manifest.identity
    twin = dataclasses.replace(CPU, name="twin")
    result = build(recipe, out, [twin], store=warm_store, verify=False)
    assert list(result.targets) == ["cpu.onnxruntime", "twin.onnxruntime"]
    built = [stage.name for stage in result.stages if stage.outcome == "built"]
    assert built == ["engine twin.onnxruntime picture", "engine twin.onnxruntime feature"]
    assert Bundle.open(out).manifest.identity == identity
    assert not build(recipe, out, [CPU, twin], store=warm_store, verify=False).stages


def test_a_second_variant_keeps_the_first_target(
    warm_store: Store, recipe_path: Path, tmp_path: Path
) -> None:
    out, recipe = tmp_path / "out.v2v", load_recipe(recipe_path)
    build(recipe, out, [CPU], store=warm_store, verify=False)
    result = build(recipe, out, [load_profile("h100")], store=warm_store, verify=False)
    assert any("Hopper" in note for note in result.notes), "a word on why it is not TensorRT"
    bundle = Bundle.open(out)
    assert list(bundle.manifest.variants) == ["fp16", "fp32"]
    assert {name: target.variant for name, target in bundle.targets().items()} == {
        "cpu.onnxruntime": "fp32",
        "h100.onnxruntime": "fp16",
    }
    assert bundle.target("h100").options["provider"] == "cuda"
    assert bundle.target("h100").status == "built"
    _half_precision_follows(bundle)


def _half_precision_follows(bundle: Bundle) -> None:
    """The fp16 graph against the fp32 one, on the self-test's first frame, as ONNX Runtime plays both."""
    feeds = {"frame": bundle.blob(bundle.manifest.selftest.input)[:1]}  # type: ignore[union-attr]
    answers = []
    for variant in ("fp16", "fp32"):
        session = onnxruntime.InferenceSession(str(bundle.graph_path(variant, "feature")))
        answers.append(session.run(["memory"], feeds)[0])
    assert answers[0].dtype == np.float16
    assert np.abs(answers[0].astype(np.float32) - answers[1]).max() <= 2e-2
    weights = bundle.root / "graphs/fp16.weights"
    assert weights.stat().st_size < bundle.root.joinpath("graphs/fp32.weights").stat().st_size


def test_another_recipe_replaces_the_bundle(warm_store: Store, recipe_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.v2v"
    build(load_recipe(recipe_path), out, [CPU], store=warm_store, verify=False)
    twin = dataclasses.replace(CPU, name="twin")
    build(load_recipe(recipe_path), out, [twin], store=warm_store, verify=False)
    recipe_path.write_text(recipe_path.read_text().replace("channels = 16", "channels = 4"))
    result = build(load_recipe(recipe_path), out, [CPU], store=warm_store, verify=False)
    assert list(result.targets) == ["cpu.onnxruntime"]
    assert any("twin.onnxruntime" in note for note in result.notes), "what is lost is said"
    assert Bundle.open(out).manifest.program.slots["memory"].shape[1] == 4


def test_a_new_name_is_no_new_build(warm_store: Store, recipe_path: Path, tmp_path: Path) -> None:
    recipe_path.write_text(recipe_path.read_text().replace('name = "tiny"', 'name = "other"'))
    result = build(load_recipe(recipe_path), None, [CPU], store=warm_store, verify=False)
    assert result.bundle == recipe_path.parent / "other.v2v"
    assert {stage.outcome for stage in result.stages} == {"cached", "done"}


def test_an_engine_that_is_built_again_says_why(warm_store: Store, recipe_path: Path, tmp_path: Path) -> None:
    out, recipe = tmp_path / "out.v2v", load_recipe(recipe_path)
    build(recipe, out, [CPU], store=warm_store, verify=False)
    changed = dataclasses.replace(CPU, workspace_mib=77)
    result = build(recipe, out, [changed], store=warm_store, verify=False)
    assert "profile.workspace_mib: none -> 77" in " ".join(result.notes)


def test_something_else_in_the_place_is_left_alone(
    warm_store: Store, recipe_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "precious"
    out.mkdir()
    (out / "letter.txt").write_text("dear")
    with pytest.raises(BuildError, match="E7030"):
        build(load_recipe(recipe_path), out, [CPU], store=warm_store, verify=False)
    assert (out / "letter.txt").read_text() == "dear"


def test_a_damaged_bundle_is_built_again(warm_store: Store, recipe_path: Path, tmp_path: Path) -> None:
    out, recipe = tmp_path / "out.v2v", load_recipe(recipe_path)
    build(recipe, out, [CPU], store=warm_store, verify=False)
    graph = out / "graphs" / "fp32.picture.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    result = build(recipe, out, [CPU], store=warm_store, verify=False)
    assert not result.up_to_date
    Bundle.open(out)


def test_parity_is_asked_once_and_recorded(warm_store: Store, recipe_path: Path, tmp_path: Path) -> None:
    asked: list[ParityRequest] = []

    def passes(request: ParityRequest) -> Parity:
        asked.append(request)
        assert Bundle.open(request.bundle).target(request.target).status == "built"
        assert {graph: tuple(taps) for graph, taps in request.taps.items()} == {
            "picture": ("out_float",),
            "feature": (),
        }
        assert request.options.float == "float32"
        assert request.model().program() == Bundle.open(request.bundle).manifest.program
        return Parity("verified", {"largest": 1e-6})

    out, recipe = tmp_path / "out.v2v", load_recipe(recipe_path)
    target = build(recipe, out, [CPU], store=warm_store, verify=passes).targets["cpu.onnxruntime"]
    assert (target.status, target.verification) == ("verified", {"largest": 1e-6})
    assert build(recipe, out, [CPU], store=warm_store, verify=passes).up_to_date
    assert build(recipe, tmp_path / "elsewhere.v2v", [CPU], store=warm_store, verify=passes).stages
    assert len(asked) == 1


def test_a_verified_bundle_serves_a_build_without_verify_and_not_the_other_way(
    warm_store: Store, recipe_path: Path, tmp_path: Path
) -> None:
    out, recipe = tmp_path / "out.v2v", load_recipe(recipe_path)
    build(recipe, out, [CPU], store=warm_store, verify=False)
    result = build(recipe, out, [CPU], store=warm_store, verify=lambda request: Parity("verified"))
    assert not result.up_to_date
    assert result.targets["cpu.onnxruntime"].status == "verified"
    assert build(recipe, out, [CPU], store=warm_store, verify=False).up_to_date


def test_a_miss_publishes_nothing_and_is_asked_again(
    warm_store: Store, recipe_path: Path, tmp_path: Path
) -> None:
    def misses(request: ParityRequest) -> Parity:
        raise VerdictError("V2V-E8001", "0.3 at the tap", "1e-4")

    out, recipe = tmp_path / "out.v2v", load_recipe(recipe_path)
    for _ in range(2):
        with pytest.raises(VerdictError):
            build(recipe, out, [CPU], store=warm_store, verify=misses)
        assert [path.name for path in tmp_path.iterdir() if "out.v2v" in path.name] == []


@pytest.mark.parametrize(
    ("good", "bad", "code"),
    [("height = 16", "height = 15", "E6900"), ("random:7", "wrong.safetensors", "E6901")],
    ids=["size", "weights"],
)
@pytest.mark.parametrize("there", [False, True], ids=["no bundle", "a bundle"])
def test_what_the_system_refuses_is_told_before_any_stage(
    recipe_path: Path, warm_store: Store, tmp_path: Path, good: str, bad: str, code: str, there: bool
) -> None:
    from safetensors.numpy import save_file

    out = tmp_path / "out.v2v"
    if there:
        build(load_recipe(recipe_path), out, [CPU], store=warm_store, verify=False)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    save_file({"a": np.zeros(1, np.float32)}, recipe_path.parent / "wrong.safetensors")
    recipe_path.write_text(recipe_path.read_text().replace(good, bad))
    told = io.StringIO()
    with pytest.raises(V2VError, match=code):
        build(
            load_recipe(recipe_path),
            out,
            [load_profile("h100")],  # of which a note tells
            store=warm_store,
            progress=JsonProgress(told),
            verify=False,
        )
    events = [json.loads(line)["event"] for line in told.getvalue().splitlines()]
    assert set(events) <= {"step"}, "neither a stage nor a note came first"
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_putting_together_what_is_stored_does_not_load_the_weights(
    warm_store: Store, recipe_path: Path, driver: Any, tmp_path: Path
) -> None:
    process = driver(str(recipe_path), str(tmp_path / "out.v2v"), str(warm_store.root.parent))
    out, err = process.communicate(timeout=60)
    result = json.loads(out.splitlines()[-1])
    assert result["up_to_date"] is False, err
    assert "torch" not in result["imported"]


def test_weights_by_file_count_by_content(recipe_path: Path, tmp_path: Path, warm_store: Store) -> None:
    from safetensors.numpy import save_file

    rng = np.random.default_rng(3)
    tensors = {
        "encode.weight": rng.normal(size=(16, 3, 3, 3)),
        "encode.bias": rng.normal(size=16),
        "decode.weight": rng.normal(size=(3, 16, 3, 3)),
        "decode.bias": rng.normal(size=3),
    }
    tensors = {name: value.astype(np.float32) for name, value in tensors.items()}
    save_file(tensors, recipe_path.parent / "a.safetensors")
    recipe_path.write_text(recipe_path.read_text().replace("random:7", "a.safetensors"))
    out = tmp_path / "out.v2v"
    build(load_recipe(recipe_path), out, [CPU], store=warm_store, verify=False)
    recorded = Bundle.open(out).manifest.provenance["recipe"]["weights"]["net"]
    assert set(recorded) == {"file", "sha256"}
    assert recorded["file"] == "a.safetensors"
    (recipe_path.parent / "a.safetensors").touch()
    assert build(load_recipe(recipe_path), out, [CPU], store=warm_store, verify=False).up_to_date
    tensors["decode.bias"][0] += 1
    save_file(tensors, recipe_path.parent / "a.safetensors")
    assert not build(load_recipe(recipe_path), out, [CPU], store=warm_store, verify=False).up_to_date
