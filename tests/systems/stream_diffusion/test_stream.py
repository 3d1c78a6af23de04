"""Delay, timestamps, flush, params and bad frames of the stream, played by the runtime."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.micro_stream import CASES, SIZE, Bundles, micro_model, micro_options
from v2v_export.clip import moving_frames
from v2v_export.systems.stream_diffusion.reference import LiteralStream, ReferenceStream
from v2v_runtime.errors import StreamError
from v2v_runtime.prompt import prompt_params
from v2v_runtime.stream import OutputFrame, Stream

Frames = NDArray[np.uint8]

NEAR = 1
"""Levels that two correct evaluations may differ by."""


def clip(count: int, seed: int = 2) -> Frames:
    return moving_frames(count, SIZE.height, SIZE.width, seed=seed)


def literal(rows: int) -> ReferenceStream:
    return micro_model(CASES[rows]).literal(torch.float32)


def expected(stream: ReferenceStream, frames: Frames) -> list[Frames]:
    """What the literal stream shows of these frames: in order, nothing of the empty buffer."""
    shown = [stream.step(frame) for frame in frames]
    return [picture.rgb8 for picture in shown if picture is not None]


def same(shown: list[OutputFrame], pictures: list[Frames]) -> None:
    assert len(shown) == len(pictures)
    for output, picture in zip(shown, pictures, strict=True):
        assert np.abs(output.rgb8.astype(int) - picture).max() <= NEAR


def near(seen: NDArray[Any], latent: torch.Tensor) -> None:
    """A hundred times what float32 costs here."""
    wanted = latent.numpy()
    assert seen.shape == wanted.shape
    assert np.abs(seen - wanted).max() <= 1e-4 * max(1.0, float(np.abs(wanted).max()))


@pytest.mark.parametrize("rows", CASES)
@pytest.mark.parametrize("count", [2, 7])
def test_every_frame_comes_out_once_with_its_own_timestamp(rows: int, count: int, bundles: Bundles) -> None:
    """A frame comes out rows - 1 pushes later; a flush pushes the last one again for what is owed."""
    frames = clip(count)
    with Stream(bundles.of(CASES[rows])) as stream:
        pushed = [stream.push(frame, f"t{index}") for index, frame in enumerate(frames)]
        assert [len(outputs) for outputs in pushed] == [int(index >= rows - 1) for index in range(count)]
        assert stream.owed == min(rows - 1, count)
        flushed = stream.flush()
        assert len(flushed) == min(rows - 1, count)
        assert stream.owed == 0
    shown = [output for outputs in pushed for output in outputs] + flushed
    assert [output.timestamp for output in shown] == [f"t{index}" for index in range(count)]
    fed = np.concatenate([frames, np.repeat(frames[-1:], rows - 1, axis=0)])
    same(shown, expected(literal(rows), fed)[:count])


def test_an_output_is_of_the_frame_that_it_is_stamped_with(bundles: Bundles) -> None:
    """Rows do not look at each other, so a frame among black ones comes out where it belongs."""
    frames = np.zeros((6, SIZE.height, SIZE.width, 3), np.uint8)
    other = frames.copy()
    other[1] = clip(1)[0]
    outputs = []
    for fed in (frames, other):
        with Stream(bundles.of(CASES[4])) as stream:
            shown = [output for frame in fed for output in stream.push(frame)] + stream.flush()
            outputs.append({output.timestamp: output.rgb8 for output in shown})
    differing = [time for time in outputs[0] if not np.array_equal(outputs[0][time], outputs[1][time])]
    assert differing == [1]


def test_reset_forgets_every_frame(bundles: Bundles) -> None:
    with Stream(bundles.of(CASES[3])) as stream:
        first = [output.rgb8 for frame in clip(5) for output in stream.push(frame)]
        stream.reset()
        again = [output.rgb8 for frame in clip(5) for output in stream.push(frame)]
    assert np.array_equal(first, again)


@pytest.mark.parametrize("level", [0, 127, 255])
@pytest.mark.parametrize("rows", [1, 4])
def test_plain_frames_are_frames_like_others(rows: int, level: int, bundles: Bundles) -> None:
    frames = np.full((rows + 2, SIZE.height, SIZE.width, 3), level, np.uint8)
    with Stream(bundles.of(CASES[rows])) as stream:
        same([output for frame in frames for output in stream.push(frame)], expected(literal(rows), frames))


@pytest.mark.parametrize("rows", [2, 4])
def test_a_frame_that_leaves_the_numbers_is_refused_and_changes_nothing(rows: int, bundles: Bundles) -> None:
    """A guidance that overflows stands for a network that does."""
    frames = clip(8)
    with Stream(bundles.of(CASES[rows])) as stream:
        shown = [output for frame in frames[:4] for output in stream.push(frame)]
        before = stream.slots()
        stream.set_params(guidance=3e38)
        with pytest.raises(StreamError) as caught:
            stream.push(frames[4])
        assert caught.value.code == "V2V-E3020"
        assert "unet_step" in str(caught.value)
        after = stream.slots()
        assert all(np.array_equal(before[name], after[name]) for name in before)
        stream.set_params(guidance=CASES[rows].guidance)
        shown += [output for frame in frames[5:] for output in stream.push(frame)]
    same(shown, expected(literal(rows), np.delete(frames, 4, axis=0)))


@pytest.mark.parametrize("rows", [2, 3, 4])
def test_guidance_and_delta_change_between_frames(rows: int, bundles: Bundles) -> None:
    """Across 1 both ways: at most 1 is off, for that step; residual noise that it left is used by later ones.
    Latents show it where pictures hide it."""
    judge = literal(rows)
    residual = judge.options.residual
    guidances = (1.4, 2.0, 1.0, 0.5, 1.2, 3.0, 0.3, 1.6)
    deltas = (0.5, 1.0, 0.3, 1.0, 1.0, 0.0, 0.7, 1.0)
    with Stream(bundles.of(CASES[rows])) as stream:
        shown, pictures = [], []
        for frame, guidance, delta in zip(clip(8), guidances, deltas, strict=True):
            stream.set_params(guidance=guidance, **({"delta": delta} if residual else {}))
            judge.machine.guidance, judge.machine.delta = guidance, delta
            shown += stream.push(frame)
            pictures += expected(judge, frame[None])
            slots = stream.slots()
            near(slots["x_buf"], judge.machine.buffer)
            if residual:
                near(slots["stock"], judge.machine.stock)
    same(shown, pictures)


def test_a_prompt_changes_between_frames(bundles: Bundles) -> None:
    """From the next step on every row is denoised for the new prompt, those in flight as well."""
    frames = clip(7)
    changed = dataclasses.replace(CASES[3], text="a burning house", negative_text="water")
    judge = literal(3)
    other = micro_model(changed).literal(torch.float32).prompts
    assert not torch.equal(judge.prompts.embeds, other.embeds)
    bundle = bundles.of(CASES[3])
    shown: list[OutputFrame] = []
    pictures: list[Frames] = []
    ran: list[Any] = []
    with Stream(bundle, trace=ran.append) as stream:
        for index, frame in enumerate(frames):
            if index == 4:
                stream.set_params(prompt_params(bundle, "a burning house", negative="water"))
                judge.prompts = other
            shown += stream.push(frame)
            pictures += expected(judge, frame[None])
    same(shown, pictures)
    texts = [[name for name, _ in event.calls].count("text") for event in ran if hasattr(event, "calls")]
    assert texts == [1, 0, 0, 0, 1, 0, 0]


def test_one_step_from_pure_noise(bundles: Bundles) -> None:
    """SD-Turbo's way: one step at timestep 999, through the same graphs."""
    options = dataclasses.replace(CASES[1], t_index_list=(0,))
    judge = micro_model(options).literal(torch.float32)
    assert judge.machine.timesteps.tolist() == [999]
    with Stream(bundles.of(options)) as stream:
        for frame in clip(3):
            stream.push(frame)
            judge.step(frame)
            assert judge.clean is not None
            # Dividing by sqrt(abar) of 0.068 magnifies what float32 rounds.
            scale = float(judge.clean.abs().max())
            assert np.abs(stream.peek("clean") - judge.clean.numpy()).max() <= 1e-5 * scale


def test_similar_frames_are_skipped(bundles: Bundles) -> None:
    """Which ones, the published rule says; a skipped frame shows the last picture again."""
    options = micro_options(t_index_list=(35, 45), similarity=True, similarity_threshold=0.9, max_skip=3)
    moving = clip(12)
    frames = np.concatenate([np.repeat(moving[:1], 14, axis=0), moving])
    judge = micro_model(options).reference()
    assert isinstance(judge, LiteralStream)
    shown: list[OutputFrame] = []
    pictures: list[Frames] = []
    with Stream(bundles.of(options)) as stream:
        for frame in frames:
            shown += stream.push(frame)
            pictures += [picture.rgb8 for picture in judge.step(frame[None])]
            slots = judge.slots()
            held = stream.slots()
            for name in ("similarity_reference", "similarity_seen", "similarity_skips"):
                assert np.array_equal(held[name], slots[name]), name
        skipped = [output.skipped for output in shown]
        assert len(shown) + stream.owed == len(frames)
        # A flush plays the frames in flight to their end, however alike they are.
        (last,) = stream.flush()
        assert not last.skipped
        picture = judge.stream.step(frames[-1])
        assert picture is not None
        same([last], [picture.rgb8])
    same(shown, pictures)
    assert skipped[:14].count(True) > 8  # still frames
    assert not all(skipped[1:13])
    assert [output.timestamp for output in shown] == list(range(len(shown)))
