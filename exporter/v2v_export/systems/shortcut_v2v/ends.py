"""The teacher's first and last convolution in forms that suit a CPU: exact rewrites.

A 7x7 convolution to 3 channels fills 3 of the 8 or 16 lanes that CPU kernels compute. A 2x2 block of pixels
at once, as 12 channels of an 8x8 convolution of stride 2 whose kernel holds the 7x7 one at four places, fills
12: per pixel 64 * 16 / 4 lane products instead of 49 * 16.
"""

from __future__ import annotations

from collections.abc import Mapping

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
    which instance normalisation takes away: the composition is the same function. What changes is rounding.
    ONNX Runtime sums a plane of 2^17 values with an error of 2e-5 of their mean, which alone puts 1.3e-4 on
    the picture at 256x512; with means near zero 2.5e-5 is left.

    Args:
        conv: a convolution without padding, behind a reflection pad, before an instance normalisation.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x - x.mean((2, 3), keepdim=True), self.weight)


def rewrite_ends(part: nn.Sequential, lowering: Mapping[str, str]) -> nn.Sequential:
    """A part of the teacher with its first and its last convolution in the forms that ``lowering`` names.

    ``first_conv: centred`` needs the normalisation in the same part (at level low the raw convolution is the
    feature, and stays). The rest is shared with ``part``.
    """
    modules = list(part)
    for index, module in enumerate(modules):
        if not isinstance(module, nn.Conv2d) or module.kernel_size != (7, 7):
            continue
        normalised = index + 1 < len(modules) and isinstance(modules[index + 1], InstanceNorm)
        if normalised and lowering.get("first_conv") == "centred":
            modules[index] = CentredConv(module)
        elif not normalised and index > 1 and lowering.get("last_conv") == "blocked":
            modules[index] = BlockedConv(module)
    return nn.Sequential(*modules)
