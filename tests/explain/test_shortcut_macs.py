"""The counter on Shortcut-V2V at 256 x 512, against the method's figures and a second, independent count.

The second count never sees ONNX: hooks on the PyTorch modules multiply the shapes that pass through them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from v2v_export.explain import StaticGraph, count_bytes, count_macs, read_graph
from v2v_export.systems.shortcut_v2v import block as block_module
from v2v_export.systems.shortcut_v2v.block import ShortcutBlock
from v2v_export.systems.shortcut_v2v.model import ResnetGenerator
from v2v_export.systems.shortcut_v2v.rewrites import RewrittenBlock

HEIGHT, WIDTH = 256, 512
CHANNELS, HIDDEN = 128, 64
FEATURE = (1, CHANNELS, HEIGHT // 2, WIDTH // 2)


class LiteralFrame(nn.Module):
    """A shortcut frame with nothing rewritten: encoder, block, decoder (medium dependence)."""

    def __init__(self, teacher: ResnetGenerator, block: ShortcutBlock) -> None:
        super().__init__()
        split = teacher.split("medium")
        self.encoder, self.decoder, self.block = split.encoder, split.decoder, block

    def forward(self, x: Tensor, a_r: Tensor, f_r: Tensor) -> Tensor:
        y: Tensor = self.decoder(self.block(a_r, self.encoder(x), f_r))
        return y


class RewrittenFrame(nn.Module):
    """A shortcut frame after the rewrites."""

    def __init__(self, teacher: ResnetGenerator, block: ShortcutBlock) -> None:
        super().__init__()
        split = teacher.split("medium")
        self.encoder, self.decoder = split.encoder, split.decoder
        self.block = RewrittenBlock.from_block(block)

    def forward(self, x: Tensor, z_r: Tensor, z_f: Tensor, p_ref: Tensor) -> Tensor:
        y: Tensor = self.decoder(self.block(self.encoder(x), z_r, z_f, p_ref))
        return y


def _exported(module: nn.Module, shapes: Sequence[tuple[int, ...]], path: Path, opset: int) -> StaticGraph:
    inputs = tuple(torch.empty(shape) for shape in shapes)
    with torch.no_grad():
        program = torch.onnx.export(module.eval(), inputs, dynamo=True, opset_version=opset, verbose=False)
    assert program is not None
    program.save(str(path), external_data=True)
    return read_graph(path)


def _by_hooks(module: nn.Module, shapes: Sequence[tuple[int, ...]]) -> int:
    """True multiply-adds of the convolution modules, from the shapes of one run without data."""
    total = 0

    def count(layer: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.ConvTranspose2d):
            total += args[0].numel() * layer.out_channels // layer.groups * prod(layer.kernel_size)
        elif isinstance(layer, nn.Conv2d):
            total += out.numel() * layer.in_channels // layer.groups * prod(layer.kernel_size)

    module = module.to("meta").eval()
    hooks = [layer.register_forward_hook(count) for layer in module.modules()]
    with torch.no_grad():
        module(*(torch.empty(shape, device="meta") for shape in shapes))
    for hook in hooks:
        hook.remove()
    return total


def _teacher() -> ResnetGenerator:
    return ResnetGenerator(ngf=64, n_blocks=6)


def test_teacher(tmp_path: Path) -> None:
    shape = [(1, 3, HEIGHT, WIDTH)]
    graph = _exported(_teacher(), shape, tmp_path / "teacher.onnx", 18)
    macs = count_macs(graph)
    assert macs.true == _by_hooks(_teacher(), shape)
    assert macs.true == pytest.approx(70.112e9, abs=1e6)
    assert macs.paper == pytest.approx(84.607e9, abs=1e6)
    # 7,837,699 parameters in float32, and at most the norms' constant scales and biases, two per norm.
    norms = 2 * (64 + 128 + 256 + 12 * 256 + 128 + 64)
    assert 0 < count_bytes(graph).weights - 4 * 7_837_699 < 4 * norms


def _deform_node(x: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, *, padding: int) -> Tensor:
    """The literal block's deformable convolution as one DeformConv node; for tracing only."""
    y: Tensor = torch.onnx.ops.symbolic(
        "DeformConv",
        [x, weight, offset, None, mask],
        {"kernel_shape": [3, 3], "pads": [padding] * 4},
        dtype=x.dtype,
        shape=(x.shape[0], weight.shape[0], *x.shape[2:]),
        version=19,
    )
    return y


# (encoder + decoder, block) of the method's table, in G and rounded there to two digits.
LITERAL = (3.65 + 3.65, 6.62)


def test_literal_shortcut_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = [(1, 3, HEIGHT, WIDTH), FEATURE, FEATURE]
    frame = LiteralFrame(_teacher(), ShortcutBlock(CHANNELS, HIDDEN))
    with monkeypatch.context() as patch:
        patch.setattr(block_module, "deform_conv2d", _deform_node)
        macs = count_macs(_exported(frame, shapes, tmp_path / "literal.onnx", 19))
    assert macs.true == pytest.approx(13.916e9, abs=1e6)
    assert macs.true == pytest.approx(sum(LITERAL) * 1e9, abs=10e6)
    assert macs.by_op["DeformConv"] == _deform_macs()
    # Outside the four deformable convolutions the modules' own count must agree.
    assert macs.true - _deform_macs() == _by_hooks(frame, shapes)
    # The published 18.185 G holds 2 per element of the three norms that a shortcut frame passes.
    norms = 2 * (2 * 64 * HEIGHT * WIDTH + prod(FEATURE))
    assert macs.paper + norms == pytest.approx(18.185e9, abs=1e6)


def _deform_macs() -> int:
    """Two global ones at half the features' size, two local ones at full size, 64 -> 64 channels, 9 taps."""
    height, width = FEATURE[2:]
    return HIDDEN * HIDDEN * 9 * (2 * (height // 2) * (width // 2) + 2 * height * width)


def test_rewritten_shortcut_frame(tmp_path: Path) -> None:
    height, width = FEATURE[2] // 2, FEATURE[3] // 2
    plane = (1, HIDDEN, height + 2, width + 2)
    shapes = [(1, 3, HEIGHT, WIDTH), plane, plane, (1, HIDDEN, height, width)]
    frame = RewrittenFrame(_teacher(), ShortcutBlock(CHANNELS, HIDDEN))
    macs = count_macs(_exported(frame, shapes, tmp_path / "rewritten.onnx", 18))
    # The method's 11.33 G keeps the 1x1 group convolution of each HetConv; the fold merges it into the 3x3.
    folded = 2 * HIDDEN * HIDDEN // 4 + 2 * HIDDEN * HIDDEN // 4  # three local ones: 2h -> h, h -> h, h -> h
    folded = folded * FEATURE[2] * FEATURE[3]
    # Two global ones at half size; of the first, 2C -> h, the reference's half is not this frame's work.
    folded += (CHANNELS * HIDDEN // 4 + HIDDEN * HIDDEN // 4) * height * width
    assert macs.true + folded == pytest.approx(11.33e9, abs=5e6)
    # The adaptive blending is one product, a function call that no hook sees: 64 x 64 x 9 per pixel.
    blending = HIDDEN * HIDDEN * 9 * FEATURE[2] * FEATURE[3]
    assert macs.true - blending == _by_hooks(frame, shapes)


def test_conventions_differ_by_the_transposed_convolutions_only() -> None:
    # 256 -> 128 at 64 x 128 and 128 -> 64 at 128 x 256, 9 taps; stride 2 makes the papers' count 4 times.
    up = 9 * (256 * 128 * 64 * 128 + 128 * 64 * 128 * 256)
    assert 3 * up == 84_607_500_288 - 70_111_985_664
