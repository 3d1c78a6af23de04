"""Bundles on ONNX Runtime against the literal stream: latents, through a warm-up and 40 frames after it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.micro_live2diff import (
    SIZE,
    WARMUP,
    Bundles,
    chunks,
    decoded,
    micro_model,
    micro_options,
    played,
)
from v2v_export.clip import moving_frames
from v2v_export.systems.live2diff.options import Live2DiffOptions
from v2v_export.verify.poison import check_poison
from v2v_runtime import Stream
from v2v_runtime.errors import StreamError

FRAMES = 40

FORMS = [(1, "delta"), (2, "delta"), (3, "delta"), (4, "delta"), (2, "in_place")]
"""Rows, and who writes the rings."""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    return Bundles(tmp_path_factory.mktemp("live2diff"))


@pytest.fixture(scope="module")
def clip() -> NDArray[np.uint8]:
    return moving_frames(WARMUP + FRAMES, SIZE.height, SIZE.width)


def apart(left: NDArray[Any], right: NDArray[Any]) -> float:
    assert left.shape == right.shape
    return float(np.abs(left.astype(np.float64) - right).max())


def check_forced(bundles: Bundles, options: Live2DiffOptions, clip: NDArray[np.uint8]) -> None:
    """Teacher-forced: latents and every slot to 1e-4."""
    literal = micro_model(options).reference()
    with Stream(bundles.of(options)) as stream:
        resets = set(stream.session.program.phases[1].resets)
        for index, chunk in enumerate(chunks(clip)):
            given = literal.slots()
            # The phase's own resets are left to it.
            forced = {name: value for name, value in given.items() if index != 1 or name not in resets}
            stream.set_slots(forced)
            seen, expected = played(stream, chunk), decoded(literal, chunk)[0]
            assert apart(seen, expected) <= 1e-4, f"step {index}"
            state = stream.slots()
            for name, value in literal.slots().items():
                if index or name not in resets:
                    assert apart(state[name], value) <= 1e-4, f"step {index}, {name}"


@pytest.mark.parametrize(("rows", "cache"), FORMS)
def test_each_step_from_the_literal_state(
    bundles: Bundles, clip: NDArray[np.uint8], rows: int, cache: str
) -> None:
    """Through a warm-up and 40 steps, five times round."""
    check_forced(bundles, micro_options(rows, cache=cache), clip)


@pytest.mark.parametrize(
    ("rows", "changes"),
    [
        (2, {"add_noise": False, "prompt": "tokens"}),
        (3, {"official_startup": True}),
    ],
    ids=["add_noise", "official_startup"],
)
def test_each_step_with_other_options(
    bundles: Bundles, clip: NDArray[np.uint8], rows: int, changes: dict[str, Any]
) -> None:
    """Through a warm-up and four steps: the published start is another one from the second to the ninth."""
    check_forced(bundles, micro_options(rows, **changes), clip[: WARMUP + 4])


@pytest.mark.parametrize(("rows", "cache"), FORMS)
def test_free_running_stays_at_the_noise_of_float32(
    bundles: Bundles, clip: NDArray[np.uint8], rows: int, cache: str
) -> None:
    """At most ten times what the literal stream itself loses against float64."""
    options = micro_options(rows, cache=cache)
    model = micro_model(options)
    narrow, wide = model.reference(), model.literal(torch.float64)
    drift, noise = 0.0, 0.0
    with Stream(bundles.of(options)) as stream:
        for chunk in chunks(clip):
            seen, expected = played(stream, chunk), decoded(narrow, chunk)[0]
            drift = max(drift, apart(seen, expected))
            noise = max(noise, apart(expected, decoded(wide, chunk)[0]))
    assert 0 < noise < 1e-3
    assert drift <= 10 * noise


def test_every_frame_comes_out_once_in_order(bundles: Bundles, clip: NDArray[np.uint8]) -> None:
    options = micro_options(3)
    literal = micro_model(options).reference()
    expected = [frame.rgb8 for chunk in chunks(clip[:16]) for frame in literal.step(chunk)]
    with Stream(bundles.of(options)) as stream:
        shown = []
        for index, frame in enumerate(clip[:16]):
            shown += stream.push(frame, 100 + index)
        assert [output.timestamp for output in shown] == [100 + index for index in range(16 - 2)]
        for output, picture in zip(shown, expected, strict=True):
            assert np.abs(output.rgb8.astype(int) - picture).max() <= 1
        owed = stream.flush()
    # Two frames are in flight; the last frame is repeated until they are out.
    repeated = [frame.rgb8 for _ in range(2) for frame in literal.step(clip[15:16])]
    assert [output.timestamp for output in owed] == [114, 115]
    for output, picture in zip(owed, repeated, strict=True):
        assert np.abs(output.rgb8.astype(int) - picture).max() <= 1


def test_a_kl_autoencoder_beside_the_literal_stream(bundles: Bundles, clip: NDArray[np.uint8]) -> None:
    """Its latents are those of the mean, which the noise of the published sample is not added to."""
    options = micro_options(2, vae="tiny_kl")
    literal = micro_model(options).reference()
    with Stream(bundles.of(options)) as stream:
        for index, chunk in enumerate(chunks(clip[: WARMUP + 6])):
            shown = [output for frame in chunk for output in stream.push(frame)]
            latent, pictures = decoded(literal, chunk)
            assert apart(stream.peek("clean" if index else "x_2"), latent) <= 1e-4, f"step {index}"
            for output, picture in zip(shown, pictures, strict=True):
                assert np.abs(output.rgb8.astype(int) - picture.rgb8).max() <= 1


def test_engines_of_one_phase_at_a_time_play_the_same(bundles: Bundles, clip: NDArray[np.uint8]) -> None:
    warm = {"warmup_depth", "warmup_encode", "unet_warmup", "warmup_decode"}
    step = {"depth", "encode", "unet_step", "decode"}
    beside, apart = (bundles.of(micro_options(2, resident=kind)) for kind in ("always", "phase"))
    with Stream(beside) as expected, Stream(apart) as stream:
        assert stream.session.loaded() == {"cross_kv"} | warm
        assert expected.session.loaded() == {"cross_kv"} | warm | step
        for start in (0, 12):
            for frame in clip[start : start + 12]:
                shown, wanted = stream.push(frame), expected.push(frame)
                assert [output.timestamp for output in shown] == [output.timestamp for output in wanted]
                assert all(np.array_equal(a.rgb8, b.rgb8) for a, b in zip(shown, wanted, strict=True))
            assert stream.session.loaded() == {"cross_kv"} | step
            stream.enter("warmup")
            expected.enter("warmup")
            assert stream.session.loaded() == {"cross_kv"} | warm


@pytest.mark.parametrize(("cache", "axis"), [("delta", 0), ("in_place", 2)])
def test_a_latent_that_is_no_number_refuses_the_frame_and_keeps_the_state(
    bundles: Bundles, clip: NDArray[np.uint8], cache: str, axis: int
) -> None:
    """All of it but the entries of the rings that the step overwrites, which nothing reads before then."""
    options, steps = micro_options(2, cache=cache), 11
    past, refused_one = clip[: WARMUP + steps], clip[WARMUP + steps]

    def kept(name: str, value: NDArray[Any]) -> NDArray[Any]:
        # The twelfth step is number 11, whose entry is 11 mod 8.
        return np.delete(value, 3, axis) if name.startswith("ring_") else value

    with Stream(bundles.of(options)) as stream:
        for frame in past:
            stream.push(frame)
        before = stream.slots()
        # Past float32 inside: what the row gives is no number.
        stream.set_slots({"x_buffer": np.full_like(before["x_buffer"], 3e38)})
        spoiled = stream.slots()
        with pytest.raises(StreamError) as refused:
            stream.push(refused_one)
        assert refused.value.code == "V2V-E3020"
        after = stream.slots()
        rings = [name for name in after if name.startswith("ring_")]
        assert len(rings) == 12
        # More than eight steps are past: no entry is empty.
        assert all(entry.any() for name in rings for entry in np.split(spoiled[name], 8, axis))
        for name in after:
            assert np.array_equal(kept(name, after[name]), kept(name, spoiled[name])), name
        stream.set_slots({"x_buffer": before["x_buffer"]})
        again = [output.rgb8 for output in stream.push(refused_one)]
    with Stream(bundles.of(options)) as stream:
        for frame in past:
            stream.push(frame)
        untouched = [output.rgb8 for output in stream.push(refused_one)]
    assert np.array_equal(again[0], untouched[0])


def test_a_new_prompt_leaves_the_old_style_in_the_sinks_until_a_warm_up(
    bundles: Bundles, clip: NDArray[np.uint8]
) -> None:
    options = micro_options(2)
    rng = np.random.default_rng(4)
    with Stream(bundles.of(options)) as stream:
        for frame in clip[:12]:
            stream.push(frame)
        before = stream.slots()
        stream.set_params(prompt_embeds=rng.standard_normal((1, 77, 32)).astype(np.float32))
        stream.push(clip[12])
        changed = stream.slots()
        sinks = [name for name in before if name.startswith("sink_")]
        assert not np.array_equal(before["cross_k_00"], changed["cross_k_00"])
        assert all(np.array_equal(before[name], changed[name]) for name in sinks)
        index = stream.session and stream.snapshot().frame_index
        stream.enter("warmup")
        for frame in clip[13 : 13 + WARMUP]:
            shown = stream.push(frame)
        assert len(shown) == WARMUP
        assert stream.snapshot().frame_index == index + WARMUP
        warmed = stream.slots()
        assert not any(np.array_equal(before[name], warmed[name]) for name in sinks)
        stream.push(clip[30])
        # The rings began again with it: one entry is written, at the front.
        ring = stream.slots()["ring_00"]
        assert ring[0].any()
        assert not ring[1:].any()


def test_a_warm_up_in_mid_stream_plays_as_the_literal_one(bundles: Bundles, clip: NDArray[np.uint8]) -> None:
    """Nothing is left of the frames before it but their number: of the noise, a literal stream that begins
    with the frames of the warm-up has what is drawn from that number on."""
    options, begun = micro_options(2), 13
    literal = micro_model(options).reference()
    literal.noise_start = literal.noise_start.roll(-begun, 0)
    literal.noise_step = [row.roll(-begun, 0) for row in literal.noise_step]
    with Stream(bundles.of(options)) as stream:
        for frame in clip[:begun]:
            stream.push(frame)
        stream.enter("warmup")
        for index, chunk in enumerate(chunks(clip[begun : begun + WARMUP + 10])):
            assert apart(played(stream, chunk), decoded(literal, chunk)[0]) <= 1e-4, f"step {index}"


def test_a_stream_is_not_entered_before_its_warm_up(bundles: Bundles, clip: NDArray[np.uint8]) -> None:
    """Sinks of zeros are no keys and values of any frame."""
    with Stream(bundles.of(micro_options(2))) as stream:
        for pushed in (0, 5):
            for frame in clip[:pushed]:
                assert stream.push(frame) == []
            with pytest.raises(StreamError) as refused:
                stream.enter("stream")
            # Staged frames are told first: the step takes one frame, and five wait.
            assert refused.value.code == ("V2V-E3031" if pushed else "V2V-E3033")
        stream.reset()
        with pytest.raises(StreamError, match=r"(?s)V2V-E3033.*push the 8 frames of 'warmup'"):
            stream.enter("stream")
        assert sum(len(stream.push(frame)) for frame in clip[:WARMUP]) == WARMUP
        stream.enter("stream")
        stream.reset()
        with pytest.raises(StreamError, match="V2V-E3033"):
            stream.enter("stream")


def test_a_warm_up_that_failed_is_not_played_on(bundles: Bundles, clip: NDArray[np.uint8]) -> None:
    """Its sinks were overwritten, by the frames that were refused; nothing else was."""
    with Stream(bundles.of(micro_options(2))) as stream:
        for frame in clip[:12]:
            stream.push(frame)
        whole = stream.slots()
        good = stream.peek("clean")
        prompt = np.zeros((1, 77, 32), np.float32)
        stream.enter("warmup")
        stream.set_params(prompt_embeds=prompt + 3e38)
        for frame in clip[12:19]:
            stream.push(frame)
        with pytest.raises(StreamError, match="V2V-E3020"):
            stream.push(clip[19])
        torn = stream.slots()
        sinks = [name for name in whole if name.startswith("sink_")]
        assert not any(np.array_equal(whole[name], torn[name]) for name in sinks)
        others = whole.keys() - set(sinks)
        assert all(np.array_equal(whole[name], torn[name]) for name in others)
        with pytest.raises(StreamError, match="V2V-E3032"):
            stream.enter("stream")
        stream.set_params(prompt_embeds=prompt)
        assert sum(len(stream.push(frame)) for frame in clip[20:29]) == WARMUP
        assert np.isfinite(stream.peek("clean")).all()
        assert stream.peek("clean").shape == good.shape


@pytest.mark.parametrize("level", [0, 255])
def test_frames_without_anything_in_them_play(bundles: Bundles, level: int) -> None:
    frame = np.full((SIZE.height, SIZE.width, 3), level, np.uint8)
    with Stream(bundles.of(micro_options(2))) as stream:
        shown = [output.rgb8 for _ in range(WARMUP + 4) for output in stream.push(frame)]
        assert len(shown) == WARMUP + 3
        assert all(np.isfinite(value).all() for value in stream.slots().values())


def test_step_cannot_see_the_entry_that_it_overwrites(bundles: Bundles, clip: NDArray[np.uint8]) -> None:
    with Stream(bundles.of(micro_options(2))) as stream:
        for index, frame in enumerate(clip[: WARMUP + 12]):
            if index < WARMUP:
                stream.push(frame)
                continue
            before = stream.snapshot()
            plain = [output.rgb8 for output in stream.push(frame)]
            state = stream.slots()
            stream.restore(before)
            assert stream.poison_in_place() == ("unet_step",)
            poisoned = [output.rgb8 for output in stream.push(frame)]
            assert all(map(np.array_equal, plain, poisoned))
            assert all(np.array_equal(value, state[name]) for name, value in stream.slots().items())


def test_rings_updated_in_place_are_the_same_memory(bundles: Bundles, clip: NDArray[np.uint8]) -> None:
    """Twelve free-running steps, once and a half round: both forms agree up to the rounding of two graphs in
    float32, and neither makes the machine copy anything."""
    delta, in_place = (micro_options(2, cache=cache) for cache in ("delta", "in_place"))
    with Stream(bundles.of(delta)) as one, Stream(bundles.of(in_place)) as other:
        for frame in clip[: WARMUP + 12]:
            pictures = [[output.rgb8 for output in stream.push(frame)] for stream in (one, other)]
            for left, right in zip(*pictures, strict=True):
                assert np.abs(left.astype(int) - right).max() <= 1
        wanted, found = one.slots(), other.slots()
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            if name.startswith("ring_"):
                assert found[name].shape == (1, 1, 8, value[0].size)
            assert apart(found[name].reshape(value.shape), value) <= 1e-4, name
        assert [stream.counters.copies for stream in (one, other)] == [0, 0]


def test_entries_that_a_step_rewrites_itself_do_not_decide_it(
    bundles: Bundles, clip: NDArray[np.uint8]
) -> None:
    """What a step that failed left there, NaN too, changes nothing when it is tried again."""
    with Stream(bundles.of(micro_options(2, cache="in_place"))) as stream:
        steps, miss = check_poison(stream, clip[: WARMUP + 10], lambda _: None)
    assert (steps, miss) == (1 + 10, None)


def test_weights_of_warm_up_and_step_are_stored_once(bundles: Bundles, tmp_path: Any) -> None:
    """Packed as a build packs them, two graphs take the room of one."""
    from v2v_export.export.weights import pack

    bundle = bundles.of(micro_options(2))
    paths = {name: bundle.graph_path("main", name) for name in ("unet_warmup", "unet_step")}
    alone = {name: path.with_suffix(".weights").stat().st_size for name, path in paths.items()}
    assert min(alone.values()) > 1 << 20
    pack(paths, tmp_path, "both")
    # What they do not share: their tables of positions, and constants.
    assert (tmp_path / "both.weights").stat().st_size < 1.1 * max(alone.values())


def test_similar_frames_are_skipped(bundles: Bundles, clip: NDArray[np.uint8]) -> None:
    """Which ones after the warm-up, the published rule says; a skipped frame shows the last picture again."""
    options = micro_options(2, similarity=True, similarity_threshold=0.9, max_skip=3)
    literal = micro_model(options).reference()
    frames = np.concatenate([np.repeat(clip[:1], WARMUP + 14, axis=0), clip[:12]])
    shown, pictures = [], []
    with Stream(bundles.of(options)) as stream:
        for chunk in chunks(frames):
            shown += [output for frame in chunk for output in stream.push(frame)]
            pictures += [picture.rgb8 for picture in literal.step(chunk)]
            held, wanted = stream.slots(), literal.slots()
            if len(chunk) == 1:
                memory = {name for name in held if name.startswith("similarity_")}
                assert memory == {f"similarity_{name}" for name in ("reference", "seen", "skips")}
                for name in memory:
                    assert np.array_equal(held[name], wanted[name]), name
            for name, value in wanted.items():
                if name == "shown":
                    assert np.abs(held[name].astype(int) - value).max() <= 1
                elif len(chunk) == 1:
                    assert apart(held[name], value) <= 1e-3, name
    assert len(shown) == len(pictures) == len(frames) - 1
    for output, picture in zip(shown, pictures, strict=True):
        assert np.abs(output.rgb8.astype(int) - picture).max() <= 1
    skipped = [output.skipped for output in shown]
    # A warm-up skips nothing, nor do the two steps that fill the rows, however alike their frames are.
    assert not any(skipped[: WARMUP + 1])
    assert skipped[WARMUP + 1 : WARMUP + 13].count(True) > 6
    assert not all(skipped[WARMUP + 1 : WARMUP + 13])
    assert [output.timestamp for output in shown] == list(range(len(shown)))


def test_skipped_frames_overwrite_nothing_that_is_checked(bundles: Bundles, clip: NDArray[np.uint8]) -> None:
    options = micro_options(2, similarity=True, similarity_threshold=0.9, max_skip=3)
    frames = np.concatenate([np.repeat(clip[:1], WARMUP + 8, axis=0), clip[:2]])
    with Stream(bundles.of(options)) as stream:
        steps, miss = check_poison(stream, frames, lambda _: None)
    assert miss is None
    assert 1 + 2 <= steps < 1 + 10


def test_a_prompt_that_changes_with_a_skipped_frame_is_not_lost(
    bundles: Bundles, clip: NDArray[np.uint8]
) -> None:
    options = micro_options(2, similarity=True, similarity_threshold=0.9, max_skip=3)
    prompt = np.random.default_rng(4).standard_normal((1, 77, 32)).astype(np.float32)
    with Stream(bundles.of(options)) as stream:
        for frame in np.repeat(clip[:1], WARMUP + 4, axis=0):
            stream.push(frame)
        stream.set_params(similarity_threshold=-1.0, prompt_embeds=prompt)
        before = stream.slots()["cross_k_00"]
        while not any(output.skipped for output in stream.push(clip[0])):
            pass
        stream.set_params(similarity_threshold=1.0)
        for frame in clip[1:3]:
            assert not any(output.skipped for output in stream.push(frame))
        assert not np.array_equal(before, stream.slots()["cross_k_00"])
