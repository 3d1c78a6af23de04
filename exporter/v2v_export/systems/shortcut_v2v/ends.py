"""The teacher's first and last convolution in forms that suit a CPU: exact rewrites.

A 7x7 convolution to 3 channels fills 3 of the 8 or 16 lanes that CPU kernels compute. A 2x2 block of pixels
at once, as 12 channels of an 8x8 convolution of stride 2 whose kernel holds the 7x7 one at four places, fills
12: per pixel 64 * 16 / 4 lane products instead of 49 * 16.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from v2v_export.systems.shortcut_v2v.model import InstanceNorm


class BlockedConv(nn.Module):
    """A stride-1 convolution without padding, computed in ``block`` x ``block`` pixels.

    ``[N, i, H, W] -> [N, o, H - k + 1, W - k + 1]``, an output whose sides are multiples of ``block``.

    Args:
        conv: the convolution; its weights are copied.
        block: pixels per side.
    """

    def __init__(self, conv: nn.Conv2d, block: int = 2) -> None:
        super().__init__()
        if conv.stride != (1, 1) or conv.padding != (0, 0) or conv.dilation != (1, 1) or conv.groups != 1:
            raise ValueError(f"BlockedConv takes a plain stride-1 convolution without padding, not {conv}")
        weight = conv.weight.detach()
        out_ch, in_ch, high, wide = weight.shape
        kernel = weight.new_zeros(out_ch, block, block, in_ch, high + block - 1, wide + block - 1)
        for y in range(block):
            for x in range(block):
                kernel[:, y, x, :, y : y + high, x : x + wide] = weight
        self.block = block
        self.out_ch = out_ch
        self.weight = nn.Parameter(kernel.flatten(0, 2))
        bias = weight.new_zeros(out_ch) if conv.bias is None else conv.bias.detach()
        self.bias = nn.Parameter(bias.repeat_interleave(block * block))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.conv2d(x, self.weight, self.bias, stride=self.block)
        return functional.pixel_shuffle(y, self.block)


class CentredConv(nn.Module):
    """A convolution without bias of an input without its mean: for what is normalised next.

    ``[N, i, H, W] -> [N, o, H - k + 1, W - k + 1]``. Behind a reflection pad a constant stays a constant
    through an unpadded convolution, so the output differs from the convolution's by a constant per channel,
    which instance normalisation takes away. Its own mean is near zero, which ``MomentNorm`` needs.

    Args:
        conv: a convolution without padding, behind a reflection pad, before an instance normalisation.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x - x.mean((2, 3), keepdim=True), self.weight)


class MomentNorm(nn.Module):
    """Instance normalisation of one large picture from its first two moments, summed row by row.

    ``[1, C, H, W] -> [1, C, H, W]``. ONNX Runtime's InstanceNormalization sums 2^17 squares with a relative
    error of 2e-5, which a value of 12 deviations shows as 2e-4; row by row it is 2e-7, in the same time. The
    variance is E[x^2] - E[x]^2, which loses digits where the mean is many deviations: give it centred values.
    """

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(3).mean(2)
        power = torch.linalg.vector_norm(x, dim=3).square().mean(2) / x.shape[3]
        return functional.batch_norm(x, mean[0], (power - mean.square())[0], eps=self.eps)


def rewrite_ends(part: nn.Sequential, lowering: Mapping[str, str]) -> nn.Sequential:
    """A part of the teacher with its first and its last convolution in the forms that ``lowering`` names.

    ``first_conv: centred`` changes the convolution and the normalisation behind it, and needs both in the
    part (at level low the raw convolution is the feature, and stays). The rest is shared with ``part``.
    """
    modules = list(part)
    for index, module in enumerate(modules):
        if not isinstance(module, nn.Conv2d) or module.kernel_size != (7, 7):
            continue
        norm = modules[index + 1] if index + 1 < len(modules) else None
        if isinstance(norm, InstanceNorm):
            if lowering.get("first_conv") == "centred":
                modules[index : index + 2] = [CentredConv(module), MomentNorm(norm.eps)]
        elif index > 1 and lowering.get("last_conv") == "blocked":
            modules[index] = BlockedConv(module)
    return nn.Sequential(*modules)
