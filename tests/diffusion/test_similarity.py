"""The similarity filter against the published one's decisions, as a graph, and in a stream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from golden_data import golden_folder
from numpy.typing import NDArray
from safetensors.numpy import load_file
from support.bundles import make_target
from support.stream_golden import filter_settings
from support.tensorrt_nets import build, request
from v2v_export.diffusion.noise import uniform_table
from v2v_export.diffusion.prompt_errors import FilterError
from v2v_export.diffusion.similarity import SimilarityFilter, SimilarityRule
from v2v_export.diffusion.similarity_pieces import FilterPieces, filter_pieces
from v2v_export.export.pipeline import export_graph
from v2v_export.system import GraphSpec
from v2v_export.targets.tensorrt import BUILDER
from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import write_bundle, write_target
from v2v_runtime.manifest.model import (
    BUNDLE_SCHEMA,
    Call,
    Emit,
    FrameSpec,
    Graph,
    Manifest,
    Phase,
    Program,
    TensorSpec,
    Variant,
)
from v2v_runtime.stream import Stream


def stored() -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
    data = load_file(golden_folder("streamdiffusion") / "similar_image_filter.safetensors")
    frames = data.pop("frames")
    index = data.pop("index", None)  # the trimmed copy holds equal frames once
    return (frames if index is None else frames[index]), data


@pytest.mark.parametrize("setting", filter_settings())
@torch.no_grad()
def test_the_published_decisions(setting: str) -> None:
    """All frames with the stored draws; -1 stands where the published code drew nothing."""
    frames, data = stored()
    threshold, max_skip = filter_settings()[setting]
    draws = torch.from_numpy(data[f"{setting}.draw"].astype(np.float32))
    rule, reference, skips = (
        SimilarityRule(),
        torch.zeros(1, *frames[0].shape),
        torch.zeros(1, dtype=torch.int64),
    )
    for n, frame in enumerate(frames):
        picture, seen = torch.from_numpy(frame)[None], torch.tensor([n])
        step = torch.tensor([min(n, 1)])
        limits = torch.tensor([threshold]), torch.tensor([max_skip])
        skip, skips = rule(picture, reference, seen, skips, step, draws, *limits)
        assert bool(skip) == (data[f"{setting}.processed"][n] == 0), n
        assert int(skips) == data[f"{setting}.skip_count_after"][n], n
        reference = reference if bool(skip) else picture


def test_the_set_decides_something() -> None:
    """Each stored run on its own need not: one with a threshold of 1 skips nothing."""
    frames, data = stored()
    skipped = {setting: int((data[f"{setting}.processed"] == 0).sum()) for setting in filter_settings()}
    assert all(0 <= count < len(frames) for count in skipped.values())
    assert any(skipped.values())


def levels(value: int) -> torch.Tensor:
    return torch.full((1, 6, 8, 3), value, dtype=torch.uint8)


def decide(now: int, before: int, draw: float, threshold: float = 0.98) -> bool:
    number = torch.tensor([1])
    draws = torch.tensor([draw])
    limits = torch.tensor([threshold]), torch.tensor([10])
    skip, kept, _, _ = SimilarityFilter()(
        levels(now), levels(before), number, 0 * number, number, draws, *limits
    )
    assert torch.equal(kept, levels(before if bool(skip) else now))
    return bool(skip)


@pytest.mark.parametrize("value", [0, 255, 127, 128])
def test_plain_frames_are_no_zero_vectors(value: int) -> None:
    """A repeated black, white or grey frame is skipped for any draw: its cosine is 1, not 0 / 0."""
    assert decide(value, value, 0.999)
    assert not decide(value, value, 0.5, threshold=1.0)


def test_black_after_white_is_another_frame() -> None:
    assert not decide(0, 255, 2.0**-24)


def test_pictures_of_zeros_are_like_nothing() -> None:
    zero, one = torch.zeros(1, 3, 4, 4), torch.tensor([1])
    limits = torch.tensor([0.98]), torch.tensor([10])
    for other in (zero, zero + 1):
        skip, _ = SimilarityRule()(zero, other, one, 0 * one, one, torch.tensor([2.0**-24]), *limits)
        assert not bool(skip)


def test_no_skip_before_a_frame_has_come_out() -> None:
    one = torch.tensor([1])
    draws, limits = torch.tensor([0.5]), (torch.tensor([0.98]), torch.tensor([10]))
    picture = torch.ones(1, 3, 4, 4)
    for step, expected in ((0, False), (3, False), (4, True)):
        skip, skips = SimilarityRule(4)(picture, picture, one, 0 * one, torch.tensor([step]), draws, *limits)
        assert (bool(skip), int(skips)) == (expected, int(expected))


@pytest.mark.parametrize(
    ("threshold", "max_skip"), [(1.01, 10), (float("nan"), 10), (0.98, -1), (0.98, 2**31), (0.98, 10**21)]
)
def test_settings_out_of_range(threshold: float, max_skip: int) -> None:
    with pytest.raises(FilterError, match="V2V-E6171"):
        filter_pieces(FrameSpec(8, 8), FrameSpec(8, 8), threshold=threshold, max_skip=max_skip)


HEIGHT, WIDTH = 8, 12


class Darken(torch.nn.Module):
    """frame -> out: half of every level."""

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        return (frame.float() * 0.5).to(torch.uint8)


@pytest.fixture(scope="module")
def graphs(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[FilterPieces, dict[str, bytes | Path], list[GraphSpec]]:
    folder = tmp_path_factory.mktemp("filter")
    frame = FrameSpec(HEIGHT, WIDTH)
    pieces = filter_pieces(frame, frame, warm=1, threshold=0.9, max_skip=2, seed=3)
    picture = TensorSpec("uint8", (1, HEIGHT, WIDTH, 3))
    specs = [*pieces.graphs, GraphSpec("darken", Darken, {"frame": picture}, {"out": picture})]
    for spec in specs:
        export_graph(spec, "float32", {}, folder, spec.name)
    sources: dict[str, bytes | Path] = {f"graphs/{path.name}": path.read_bytes() for path in folder.iterdir()}
    return pieces, sources, specs


@pytest.fixture(scope="module")
def bundle(graphs: Any, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    pieces, sources, specs = graphs
    frame = FrameSpec(HEIGHT, WIDTH)
    calls = (pieces.before, Call("darken", "darken", {"frame": "frame"}, {"out": "out"}), pieces.after)
    phase = Phase("stream", "forever", calls, skip=pieces.skip, resets=pieces.resets, emit=Emit("out"))
    program = Program(
        inputs={"frame": frame},
        outputs={"frame": frame},
        phases=(phase,),
        max_frames=1,
        slots=pieces.slots,
        params=pieces.params,
        consts=pieces.consts,
    )
    manifest = Manifest(
        schema=BUNDLE_SCHEMA,
        name="filter",
        system="filter",
        identity="",
        files=(),
        graphs={spec.name: Graph(spec.inputs, spec.outputs) for spec in specs},
        variants={"main": Variant("float32", {spec.name: f"graphs/{spec.name}.onnx" for spec in specs})},
        program=program,
        provenance={},
    )
    root = tmp_path_factory.mktemp("filter") / "filter.v2v"
    write_bundle(root, manifest, graphs=sources, blobs=pieces.blobs)
    write_target(root, make_target())
    return Bundle.open(root)


def clip(count: int) -> NDArray[np.uint8]:
    """A picture that changes a little every frame, and altogether every tenth."""
    generator = np.random.default_rng(1)
    base = generator.integers(0, 256, (count // 10 + 1, HEIGHT, WIDTH, 3))
    noise = generator.integers(-24, 25, (count, HEIGHT, WIDTH, 3))
    return np.clip(base[np.arange(count) // 10] + noise, 0, 255).astype(np.uint8)


def expected_skips(frames: NDArray[np.uint8], threshold: float, max_skip: int) -> list[bool]:
    """The published rule on float64 vectors, with the bundle's draws."""
    draws, reference, count, skipped = uniform_table(3, 4096, 0x51), None, 0, []
    for n, frame in enumerate(frames):
        x = frame.astype(np.float64).ravel() / 127.5 - 1
        skip = False
        if reference is not None:
            cosine = x @ reference / np.linalg.norm(x) / np.linalg.norm(reference)
            if max(0.0, 1 - (1 - cosine) / (1 - threshold)) >= draws[n]:
                skip, count = (True, count + 1) if count <= max_skip else (False, 0)
        if not skip:
            reference = x
        skipped.append(skip)
    return skipped


def test_a_stream_skips_and_repeats(bundle: Bundle) -> None:
    frames = clip(60)
    expected = expected_skips(frames, 0.9, 2)
    assert 10 < sum(expected) < 50
    with Stream(bundle) as stream:
        shown = [made for n, frame in enumerate(frames) for made in stream.push(frame, n)]
        assert [made.skipped for made in shown] == expected
        assert [made.timestamp for made in shown] == list(range(60))
        last = 0
        for n, made in enumerate(shown):
            last = last if expected[n] else n
            np.testing.assert_array_equal(made.rgb8, (frames[last] * 0.5).astype(np.uint8))
        # What was skipped is not played: neither its picture nor what keeps it.
        assert stream.counters.steps == 60 - sum(expected)
        stream.reset()
        again = [made.skipped for n, frame in enumerate(frames) for made in stream.push(frame, n)]
        assert again == expected


def test_its_params_change_live(bundle: Bundle) -> None:
    frames = clip(20)
    with Stream(bundle) as stream:
        stream.set_params(similarity_threshold=1.0)
        assert not any(made.skipped for frame in frames for made in stream.push(frame))
        stream.set_params(similarity_threshold=-1.0, similarity_max_skip=3)
        still = [made.skipped for _ in range(10) for made in stream.push(frames[-1])]
    # At most four in a row, then a forced one; the count goes on across those that were not forced.
    assert still == [True] * 4 + [False] + [True] * 4 + [False]


def test_the_graph_is_the_module(graphs: Any) -> None:
    """The exported filter on every branch: first frame, repeat, forced, changed."""
    pieces, sources, _ = graphs
    session = onnxruntime.InferenceSession(sources["graphs/similarity.onnx"])
    a, b = clip(20)[[0, 15]]
    draws = pieces.blobs["blobs/similarity.safetensors"]["similarity_draws"]
    for now, before, seen, skips, step in (
        (a, b, 0, 0, 0),
        (a, a, 1, 0, 1),
        (a, a, 5, 3, 1),
        (a, b, 7, 1, 4),
    ):
        feeds = {
            "frame": now[None],
            "reference": before[None],
            **{name: np.array([value]) for name, value in (("seen", seen), ("skips", skips), ("step", step))},
            "draws": draws,
            "threshold": np.array([0.9], np.float32),
            "max_skip": np.array([2]),
        }
        ours = session.run(None, feeds)
        theirs = SimilarityFilter(1)(*(torch.from_numpy(value) for value in feeds.values()))
        for mine, wanted in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(mine, wanted.numpy())
    assert list(feeds) == list(pieces.graphs[0].inputs)


@pytest.mark.skipif(not BUILDER.available().ok, reason=BUILDER.available().reason)
@pytest.mark.parametrize("name", ["similarity", "keep"])
def test_engines_take_the_graphs(graphs: Any, name: str, tmp_path: Path) -> None:
    """uint8 at the edges alone, whole numbers between."""
    _, sources, _ = graphs
    for file, data in sources.items():
        (tmp_path / Path(file).name).write_bytes(data)
    result = build(request(tmp_path / f"{name}.onnx", tmp_path / "work"))
    assert result.counters["kernels"] <= {"similarity": 8, "keep": 1}[name]
