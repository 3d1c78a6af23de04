"""The exported stream on ONNX Runtime against the literal one, latent by latent, over 16 frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.micro_stream import CASES, SIZE, Bundles, micro_model
from v2v_export.clip import moving_frames
from v2v_export.system import GraphOptions
from v2v_export.systems.stream_diffusion.options import StreamDiffusionOptions
from v2v_export.systems.stream_diffusion.reference import LiteralStream, ReferenceStream
from v2v_runtime.stream import Stream

FRAMES = 16

FORMS = {
    **{f"{options.cfg}-{rows}": options for rows, options in CASES.items()},
    # Rows in flight with nothing but themselves: what goes wrong here is no guidance's fault.
    "none-4": replace(CASES[4], cfg="none", guidance=1.0, negative_text=""),
    # The other samplers: alone, and with the residual noise that follows from each.
    "turbo-none-1": replace(CASES[1], sampler="turbo", t_index_list=(0,)),
    "turbo-self-2": replace(CASES[2], sampler="turbo", add_noise=True),
    "ddim-self-2": replace(CASES[2], sampler="ddim", add_noise=True),
    "ddim-full-4": replace(CASES[4], sampler="ddim"),
    "tcd-self-2": replace(CASES[2], sampler="tcd", add_noise=True),
    "tcd-initialize-3": replace(CASES[3], sampler="tcd", gamma=0.8),
}
"""What is compared, by sampler, guidance and number of rows."""


def largest(seen: NDArray[Any], expected: torch.Tensor) -> float:
    assert seen.shape == tuple(expected.shape)
    return float(np.abs(seen.astype(np.float64) - expected.double().numpy()).max()) if seen.size else 0.0


def latents(stream: Stream, options: StreamDiffusionOptions, literal: ReferenceStream) -> dict[str, float]:
    """How far the last step's latents and the state after it are from the literal ones."""
    assert literal.clean is not None
    slots = stream.slots()
    apart = {"clean": largest(stream.peek("clean"), literal.clean)}
    if options.rows > 1:
        apart["x_buf"] = largest(slots["x_buf"], literal.machine.buffer)
    if options.residual:
        apart["stock"] = largest(slots["stock"], literal.machine.stock)
    return apart


@pytest.mark.parametrize("form", FORMS)
def test_teacher_forced(form: str, bundles: Bundles) -> None:
    """Each step from the reference's own state, prompt and all: 1e-4 at most."""
    options = FORMS[form]
    reference = micro_model(options).reference()
    assert isinstance(reference, LiteralStream)
    with Stream(bundles.of(options)) as stream:
        for index, frame in enumerate(moving_frames(FRAMES, SIZE.height, SIZE.width)):
            state = reference.slots()
            if state:
                assert state.keys() == stream.slots().keys()
                stream.set_slots({name: np.ascontiguousarray(value) for name, value in state.items()})
            expected = reference.step(frame[None])
            shown = stream.push(frame)
            for name, apart in latents(stream, options, reference.stream).items():
                assert apart <= 1e-4, f"frame {index}: {name} off by {apart:.3g}"
            assert len(shown) == len(expected) == (index >= options.rows - 1)
            for output, picture in zip(shown, expected, strict=True):
                assert np.abs(output.rgb8.astype(int) - picture.rgb8).max() <= 1


@pytest.mark.parametrize("form", FORMS)
def test_free_running(form: str, bundles: Bundles) -> None:
    """At most ten times what float32 itself costs the reference."""
    options = FORMS[form]
    model = micro_model(options)
    single, double = model.literal(torch.float32), model.literal(torch.float64)
    gap: dict[str, float] = {}
    apart: dict[str, float] = {}
    with Stream(bundles.of(options)) as stream:
        for frame in moving_frames(FRAMES, SIZE.height, SIZE.width):
            stream.push(frame)
            single.step(frame)
            double.step(frame)
            assert single.clean is not None
            assert double.clean is not None
            pairs = {
                "clean": (single.clean, double.clean),
                "x_buf": (single.machine.buffer, double.machine.buffer),
                "stock": (single.machine.stock, double.machine.stock),
            }
            for name, value in latents(stream, options, single).items():
                own = largest(pairs[name][0].numpy(), pairs[name][1])
                apart[name] = max(apart.get(name, 0.0), value)
                gap[name] = max(gap.get(name, 0.0), own)
    for name in apart:
        assert 0 < gap[name] < 1e-4
        assert apart[name] <= 10 * gap[name], f"{name}: {apart[name]:.3g}, float32's own {gap[name]:.3g}"


def test_taps_are_there(bundles: Bundles) -> None:
    """The latent of the frame and the prediction are taps: what parity looks at where a step is wrong."""
    taps = {spec.name: dict(spec.taps) for spec in micro_model(CASES[4]).graphs(GraphOptions())}
    assert taps["encode"]["latent"].shape == (1, 4, SIZE.height // 8, SIZE.width // 8)
    assert taps["unet_step"]["eps"].shape == (4, 4, SIZE.height // 8, SIZE.width // 8)
