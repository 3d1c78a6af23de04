"""Whole bundles on ONNX Runtime in float32, against the literal stream."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from systems.std.bundles import OPTIONS, apart, bundle_of, levels_apart, literal_of, model_of
from systems.std.conftest import clip
from v2v_export.store import Store
from v2v_runtime import Bundle, Stream
from v2v_runtime.errors import StreamError
from v2v_runtime.prompt import prompt_params

STEPS = OPTIONS.steps
CLEAN = f"x_{STEPS}"
FRAMES = 16
ONE_FRAME = {"loop": 0, "batched": STEPS - 1}
"""Mode -> frames of delay."""

Bundles = Callable[[str], Bundle]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    """Mode -> bundle, each built once; they share all graphs but one."""
    folder = tmp_path_factory.mktemp("std")
    store = Store(folder / "store")
    return cache(lambda mode: bundle_of(folder, store, mode))


@pytest.mark.parametrize("mode", ["loop", "batched"])
def test_free_running_latents_stay_within_ten_roundings(mode: str, bundles: Bundles) -> None:
    literal, wide = literal_of(mode), literal_of(mode, wide=True)
    worst = rounding = 0.0
    emitted: list[object] = []
    with Stream(bundles(mode)) as stream:
        for index, frame in enumerate(clip(FRAMES)):
            shown = stream.push(frame)
            expected, _ = literal.step(frame), wide.step(frame)
            assert literal.latent is not None
            assert wide.latent is not None
            worst = max(worst, apart(stream.peek(CLEAN), literal.latent))
            rounding = max(rounding, apart(literal.latent, wide.latent))
            assert len(shown) == (index >= ONE_FRAME[mode]) == (expected is not None)
            emitted += [picture.timestamp for picture in shown]
            if expected is not None:
                assert levels_apart(shown[0].rgb8, expected.rgb8) <= 1
        emitted += [picture.timestamp for picture in stream.flush()]
    assert emitted == list(range(FRAMES))
    assert worst <= 10 * rounding, f"{worst:g} against {rounding:g}"


def test_teacher_forced_steps_of_the_batch(bundles: Bundles) -> None:
    literal = literal_of("batched")
    with Stream(bundles("batched")) as stream:
        for frame in clip(FRAMES):
            stream.set_slots({"waiting": literal.slots()["waiting"].numpy()})
            stream.push(frame)
            literal.step(frame)
            assert literal.latent is not None
            assert apart(stream.peek(CLEAN), literal.latent) <= 1e-4
            assert apart(stream.peek("waiting"), literal.slots()["waiting"]) <= 1e-4


def test_every_step_of_the_loop(bundles: Bundles) -> None:
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


def test_the_batch_shows_what_the_loop_showed(bundles: Bundles) -> None:
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
def test_prompt_and_guidance_change_while_it_runs(mode: str, bundles: Bundles) -> None:
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
def test_nan_is_refused_and_leaves_the_stream_as_it_was(mode: str, bundles: Bundles) -> None:
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
        stream.set_params(guidance=np.array([OPTIONS.guidance], np.float32))
        for frame in frames[4:]:
            (shown,) = stream.push(frame)
            expected = literal.step(frame)
            assert expected is not None
            assert levels_apart(shown.rgb8, expected.rgb8) <= 1


@pytest.mark.parametrize("level", [0, 93, 255])
def test_constant_frames(level: int, bundles: Bundles) -> None:
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


def test_exported_weights_are_what_was_counted(bundles: Bundles) -> None:
    counts = model_of("loop").weight_counts()
    bundle = bundles("loop")
    for graph, count in counts.items():
        file = bundle.root / bundle.manifest.variants["fp32"].graphs[graph]
        proto = onnx.load_model(file, load_external_data=False)
        held = sum(math.prod(item.dims) for item in proto.graph.initializer)
        # Tables of sines and masks come on top; of the first text encoder the last layer is left out.
        assert held == pytest.approx(count, rel=0.05), graph
