"""The teacher's last convolution in blocks of pixels, an exact rewrite for CPUs.

A 7x7 convolution to 3 channels fills 3 of the 8 or 16 lanes that CPU kernels compute. A 2x2 block of pixels
at once, as 12 channels of an 8x8 convolution of stride 2 whose kernel holds the 7x7 one at four places, fills
12: per pixel 64 * 16 / 4 lane products instead of 49 * 16.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


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


def blocked_decoder(decoder: nn.Sequential, block: int = 2) -> nn.Sequential:
    """The decoder with its last convolution (7x7, after a reflection pad) in blocks; the rest is shared."""
    modules = list(decoder)
    last = max(index for index, module in enumerate(modules) if isinstance(module, nn.Conv2d))
    conv = modules[last]
    assert isinstance(conv, nn.Conv2d)
    modules[last] = BlockedConv(conv, block)
    return nn.Sequential(*modules)
