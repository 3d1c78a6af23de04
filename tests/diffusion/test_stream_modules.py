"""The flags of a stream's two ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from v2v_export.diffusion.stream_modules import Decode, Encode

Literal = Callable[..., Any]


def last_bias(decode: Decode) -> Any:
    """Of the decoder's last convolution."""
    inner = decode.decoder.inner
    return (inner.layers[-1] if hasattr(inner, "layers") else inner.conv_out).bias


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan], ids=str)
@pytest.mark.parametrize("name", ["tiny_taesd", "tiny_kl"])
def test_a_picture_that_is_no_number_is_flagged(
    literal: Literal, name: str, value: float, dtype: torch.dtype
) -> None:
    """An infinity is a level after the clamp: white, or black."""
    decode = Decode(literal(name), dtype)
    latent = torch.randn(1, 4, 4, 6, generator=torch.Generator().manual_seed(0))
    _, ok, shown = decode(latent)
    assert ok
    assert shown.abs().max() <= 1
    last_bias(decode).data[1] = value
    _, ok, shown = decode(latent)
    assert not ok
    assert torch.isfinite(shown).all() == (value == value)


@pytest.mark.parametrize("value", [torch.inf, torch.nan], ids=str)
def test_a_latent_that_is_no_number_is_flagged(literal: Literal, value: float) -> None:
    encode = Encode(literal("tiny_taesd"), torch.float32)
    frame, start, noise = torch.zeros(1, 32, 32, 3, dtype=torch.uint8), torch.ones(2), torch.zeros(1, 4, 4, 4)
    assert encode(frame, start, noise)[1]
    noise[0, 2, 1, 3] = value
    assert not encode(frame, start, noise)[1]
