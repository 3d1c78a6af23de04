"""Whole bundles on ONNX Runtime in float32, against the literal stream."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from support.micro_std import Bundles, micro_model, micro_options
from support.recipes import built_unverified, recipe_text
from systems.std.bundles import CHOSEN, SIZE, WEIGHTS, apart, levels_apart, model_of, widened
from systems.std.conftest import clip
from v2v_export.store import Store
from v2v_export.systems.std.options import StdOptions
from v2v_export.systems.std.reference import ReferenceStream
from v2v_runtime import Bundle, Stream
from v2v_runtime.errors import StreamError
from v2v_runtime.prompt import prompt_params

STEPS = 4
CLEAN = f"x_{STEPS}"
FRAMES = 16

BundleOf = Callable[[str], Bundle]


def options_of(mode: str, **changes: Any) -> StdOptions:
    return micro_options(STEPS, mode=mode, prompt="tokens", **changes)


def literal_of(mode: str, **changes: Any) -> ReferenceStream:
    return micro_model(options_of(mode, **changes)).reference().stream


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> BundleOf:
    """Mode -> bundle around the narrowest networks, each made once; they share all graphs but one."""
    made = Bundles(tmp_path_factory.mktemp("micro"))
    return lambda mode: made.of(options_of(mode))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The loop of a whole tiny SDXL, by the build itself."""
    folder = tmp_path_factory.mktemp("built")
    text = recipe_text("std", (SIZE.height, SIZE.width), WEIGHTS, {"mode": "loop", **CHOSEN}, frames=0)
    return built_unverified(folder, Store(folder / "store"), text)


def test_free_running_latents_of_a_built_loop_stay_within_ten_roundings(built: Bundle) -> None:
    """Batches of one to four frames in flight: ``test_parity``."""
    literal = model_of().reference().stream
    wide = widened(literal)
    worst = rounding = 0.0
    with Stream(built) as stream:
        for index, frame in enumerate(clip(FRAMES)):
            (shown,) = stream.push(frame)
            expected, _ = literal.step(frame), wide.step(frame)
            assert expected is not None
            assert literal.latent is not None
            assert wide.latent is not None
            worst = max(worst, apart(stream.peek(CLEAN), literal.latent))
            rounding = max(rounding, apart(literal.latent, wide.latent))
            assert shown.timestamp == index
            assert levels_apart(shown.rgb8, expected.rgb8) <= 1
    assert worst <= 10 * rounding, f"{worst:g} against {rounding:g}"


@pytest.mark.parametrize(("mode", "delay"), [("loop", 0), ("batched", STEPS - 1)])
def test_every_frame_comes_out_once_in_order(mode: str, delay: int, bundles: BundleOf) -> None:
    with Stream(bundles(mode)) as stream:
        emitted = [[picture.timestamp for picture in stream.push(frame)] for frame in clip(6)]
        assert emitted == [[index - delay] if index >= delay else [] for index in range(6)]
        assert [picture.timestamp for picture in stream.flush()] == list(range(6 - delay, 6))


def test_every_step_of_the_loop(bundles: BundleOf) -> None:
    batched = literal_of("batched")
    frame = clip(1)[0]
    with Stream(bundles("loop")) as stream:
        stream.push(frame)
        # The same frame again and again: row k in flight is that frame after k steps.
        for k in range(STEPS):
            assert apart(stream.peek(f"x_{k}"), batched.start(frame)) <= 1e-4 or k > 0
            batched.step(frame)
            if k + 1 < STEPS:
                row = batched.slots()["waiting"][k]
                assert apart(stream.peek(f"x_{k + 1}")[0], row) <= 1e-4
            else:
                assert batched.latent is not None
                assert apart(stream.peek(CLEAN), batched.latent) <= 1e-4


def test_the_batch_shows_what_the_loop_showed(bundles: BundleOf) -> None:
    frames = clip(8)
    with Stream(bundles("loop")) as loop, Stream(bundles("batched")) as batched:
        now: list[NDArray[np.float32]] = []
        later: list[NDArray[np.float32]] = []
        for frame in frames:
            loop.push(frame)
            batched.push(frame)
            now.append(loop.peek(CLEAN))
            later.append(batched.peek(CLEAN))
    for early, late in zip(now, later[STEPS - 1 :], strict=False):
        assert apart(early, late) <= 1e-4
    assert apart(now[0], now[4]) > 0.1


@pytest.mark.parametrize("mode", ["loop", "batched"])
def test_prompt_and_guidance_change_while_it_runs(mode: str, bundles: BundleOf) -> None:
    literal, other = literal_of(mode), literal_of(mode, text="an oil painting", negative_text="")
    bundle = bundles(mode)
    frames = clip(9)
    with Stream(bundle) as stream:
        for index, frame in enumerate(frames):
            if index == 3:
                stream.set_params(guidance=np.array([1.5], np.float32))
                literal.guidance = 1.5
            if index == 5:
                before = apart(stream.peek("prompt_embeds"), literal.conditioning.embeds)
                stream.set_params(prompt_params(bundle, "an oil painting", ""))
                literal.condition(other.conditioning)
                assert before <= 1e-5
            stream.push(frame)
            literal.step(frame)
            assert literal.latent is not None
            assert apart(stream.peek(CLEAN), literal.latent) <= 2e-4, f"frame {index}"
        assert apart(stream.peek("prompt_embeds"), literal.conditioning.embeds) <= 1e-5


@pytest.mark.parametrize("mode", ["loop", "batched"])
def test_nan_is_refused_and_leaves_the_stream_as_it_was(mode: str, bundles: BundleOf) -> None:
    frames = clip(6)
    literal = literal_of(mode)
    with Stream(bundles(mode)) as stream:
        for frame in frames[:4]:
            stream.push(frame)
            literal.step(frame)
        # A finite weight that no product can hold: infinity minus infinity in the latent.
        stream.set_params(guidance=np.array([3e38], np.float32))
        with pytest.raises(StreamError, match="V2V-E3020"):
            stream.push(frames[4])
        stream.set_params(guidance=np.array([literal.options.guidance], np.float32))
        for frame in frames[4:]:
            (shown,) = stream.push(frame)
            expected = literal.step(frame)
            assert expected is not None
            assert levels_apart(shown.rgb8, expected.rgb8) <= 1


@pytest.mark.parametrize("level", [0, 93, 255])
def test_constant_frames(level: int, bundles: BundleOf) -> None:
    frame = np.full((64, 64, 3), level, np.uint8)
    literal = literal_of("loop")
    with Stream(bundles("loop")) as stream:
        (first,), (again,) = stream.push(frame), stream.push(frame)
        expected = literal.step(frame)
        assert expected is not None
        assert np.isfinite(stream.peek(CLEAN)).all()
        assert levels_apart(first.rgb8, expected.rgb8) <= 1
        # One start noise and no other: the same frame gives the same picture.
        assert np.array_equal(first.rgb8, again.rgb8)


def test_exported_weights_are_what_was_counted(built: Bundle) -> None:
    counts = model_of().weight_counts()
    for graph, count in counts.items():
        file = built.root / built.manifest.variants["fp32"].graphs[graph]
        proto = onnx.load_model(file, load_external_data=False)
        held = sum(math.prod(item.dims) for item in proto.graph.initializer)
        # Tables of sines and masks come on top; of the first text encoder the last layer is left out.
        assert held == pytest.approx(count, rel=0.05), graph
