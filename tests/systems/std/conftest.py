"""A narrow SDXL with random weights, as float32 modules."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from v2v_export.diffusion.configs import ARCHITECTURES, build
from v2v_export.diffusion.random_weights import random_state
from v2v_export.systems.std.reference import Conditioning, time_ids

SIZE = 64


@cache
def network(name: str, seed: int = 0) -> nn.Module:
    """A network of that architecture, float32. Shared between tests: read, never write."""
    made = build(ARCHITECTURES[name])
    state = random_state(ARCHITECTURES[name], seed)
    made.load_state_dict({key: item.float() for key, item in state.items()}, assign=True, strict=False)
    return made


@pytest.fixture
def unet() -> nn.Module:
    return network("tiny_sdxl")


@pytest.fixture
def vae() -> nn.Module:
    return network("tiny_taesd")


def conditioning(seed: int = 0) -> Conditioning:
    generator = torch.Generator().manual_seed(seed)
    embeds = torch.randn(2, 77, 64, generator=generator)
    pooled = torch.randn(2, 32, generator=generator)
    return Conditioning(embeds, pooled, torch.from_numpy(time_ids(SIZE, SIZE)))


def start_noise(seed: int = 0) -> Tensor:
    return torch.randn(1, 4, SIZE // 8, SIZE // 8, generator=torch.Generator().manual_seed(seed))


def clip(count: int) -> NDArray[np.uint8]:
    """Frames of a drifting pattern, uint8 [count, SIZE, SIZE, 3]."""
    y, x, t = np.meshgrid(np.arange(SIZE), np.arange(SIZE), np.arange(count), indexing="ij")
    planes = [np.sin((x + 3 * t) / 7.0), np.cos((y - 2 * t) / 11.0), np.sin((x + y + t) / 5.0)]
    frames = ((np.stack(planes, -1) + 1) * 127.5).astype(np.uint8)
    return np.ascontiguousarray(frames.transpose(2, 0, 1, 3))
