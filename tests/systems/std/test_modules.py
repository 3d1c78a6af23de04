"""The exported steps against the literal stream, in PyTorch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from systems.std.conftest import clip, conditioning, start_noise
from torch import Tensor, nn
from v2v_export.diffusion.cross_kv import CrossKV
from v2v_export.diffusion.stream_modules import Decode, Encode
from v2v_export.systems.std.modules import Denoise, DenoiseBatch
from v2v_export.systems.std.options import StdOptions
from v2v_export.systems.std.reference import ReferenceStream
from v2v_export.systems.std.schedule import student_table

OPTIONS = StdOptions(strength=0.75, steps=4, guidance=4.0)


def constants() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """start, timesteps, a, b"""
    table = student_table(OPTIONS)
    numbers = (torch.tensor(values, dtype=torch.float32) for values in (table.start, table.a, table.b))
    start, a, b = numbers
    return start, torch.from_numpy(table.timesteps), a, b


def prompt(unet: nn.Module) -> tuple[Tensor, tuple[Tensor, ...]]:
    told = conditioning()
    *cross, added = CrossKV(unet)(told.embeds, told.pooled, told.time_ids)
    return added, tuple(cross)


@torch.no_grad()
def test_a_loop_of_steps_is_the_literal_stream(unet: nn.Module, vae: nn.Module) -> None:
    start, timesteps, a, b = constants()
    added, cross = prompt(unet)
    step, guidance = Denoise(unet, torch.float32, {}), torch.tensor([OPTIONS.guidance])
    literal = ReferenceStream(unet, vae, OPTIONS, conditioning(), start_noise())
    for frame in clip(3):
        x, ok, _ = Encode(vae, torch.float32)(torch.from_numpy(frame)[None], start, start_noise())
        assert ok
        for k in range(4):
            x, ok = step(x, timesteps[k : k + 1], a[k : k + 1], b[k : k + 1], guidance, added, *cross)
            assert ok
        expected = literal.step(frame)
        assert expected is not None
        assert literal.latent is not None
        torch.testing.assert_close(x, literal.latent, rtol=0, atol=5e-5)
        out, _, picture = Decode(vae, torch.float32)(x)
        torch.testing.assert_close(picture[0], torch.from_numpy(expected.float), rtol=0, atol=5e-5)
        assert (out[0].int() - torch.from_numpy(expected.rgb8).int()).abs().max() <= 1


@torch.no_grad()
def test_a_batch_of_steps_is_the_literal_stream(unet: nn.Module, vae: nn.Module) -> None:
    start, timesteps, a, b = constants()
    added, cross = prompt(unet)
    step, guidance = DenoiseBatch(unet, torch.float32, {}), torch.tensor([OPTIONS.guidance])
    batched = replace(OPTIONS, mode="batched")
    literal = ReferenceStream(unet, vae, batched, conditioning(), start_noise())
    waiting = literal.slots()["waiting"]
    assert waiting.shape == (3, 4, 8, 8)
    assert not waiting.any()
    for frame in clip(6):
        x, _, _ = Encode(vae, torch.float32)(torch.from_numpy(frame)[None], start, start_noise())
        clean, waiting, ok = step(x, waiting, timesteps, a, b, guidance, added, *cross)
        literal.step(frame)
        assert ok
        assert literal.latent is not None
        torch.testing.assert_close(clean, literal.latent, rtol=0, atol=5e-5)
        torch.testing.assert_close(waiting, literal.slots()["waiting"], rtol=0, atol=5e-5)


@torch.no_grad()
def test_nan_in_a_latent_is_flagged(unet: nn.Module) -> None:
    _, timesteps, a, b = constants()
    added, cross = prompt(unet)
    x = start_noise()
    x[0, 0, 3, 3] = float("nan")
    _, ok = Denoise(unet, torch.float32, {})(
        x, timesteps[:1], a[:1], b[:1], torch.tensor([4.0]), added, *cross
    )
    assert not ok


@torch.no_grad()
@pytest.mark.parametrize("level", [0, 128, 255])
def test_half_precision_is_finite_and_close(level: int, unet: nn.Module, vae: nn.Module) -> None:
    start, timesteps, a, b = constants()
    frame = torch.full((1, 64, 64, 3), level, dtype=torch.uint8)
    shown = {}
    for dtype in (torch.float32, torch.float16):
        told = conditioning()
        *cross, added = CrossKV(unet, dtype)(told.embeds, told.pooled, told.time_ids)
        step, guidance = Denoise(unet, dtype, {}), torch.tensor([OPTIONS.guidance])
        x, _, _ = Encode(vae, dtype)(frame, start, start_noise())
        for k in range(4):
            x, ok = step(x, timesteps[k : k + 1], a[k : k + 1], b[k : k + 1], guidance, added, *cross)
            assert ok
            assert x.dtype == torch.float32
        out, ok, _ = Decode(vae, dtype)(x)
        assert ok
        shown[dtype] = out.int()
    assert (shown[torch.float16] - shown[torch.float32]).abs().max() <= 3
