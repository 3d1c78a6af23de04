"""The last convolution in blocks of pixels is the plain one."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from v2v_export.systems.shortcut_v2v.head import BlockedConv, blocked_decoder
from v2v_export.systems.shortcut_v2v.random_weights import random_teacher


@pytest.mark.parametrize("block", [1, 2, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_blocks_of_pixels_equal_the_convolution(block: int, bias: bool) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 3, 7, bias=bias).double()
    x = torch.randn(2, 5, 14, 22, dtype=torch.float64)
    assert (BlockedConv(conv, block)(x) - conv(x)).abs().max() < 1e-12


def test_decoder_with_blocks_is_the_decoder() -> None:
    teacher = random_teacher(0, ngf=8, n_blocks=1).double()
    decoder = teacher.split("medium").decoder
    f = torch.randn(1, 16, 8, 12, dtype=torch.float64)
    rewritten = blocked_decoder(decoder)
    assert (rewritten(f) - decoder(f)).abs().max() < 1e-12
    assert sum(isinstance(module, BlockedConv) for module in rewritten) == 1


def test_other_convolutions_are_refused() -> None:
    with pytest.raises(ValueError, match="stride-1"):
        BlockedConv(nn.Conv2d(4, 4, 3, padding=1))
