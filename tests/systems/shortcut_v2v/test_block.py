from __future__ import annotations

import pytest
import torch
from golden_data import golden_config, golden_tensors
from torch.nn import functional
from v2v_export.systems.shortcut_v2v.block import BlockTensors, HetConv, ShortcutBlock
from v2v_export.systems.shortcut_v2v.deform import deform_conv2d
from v2v_export.systems.shortcut_v2v.errors import GeometryError
from v2v_export.systems.shortcut_v2v.random_weights import random_block

GOLDEN = golden_config("shortcut_v2v")["block"]


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_of_the_paper() -> None:
    assert _count(ShortcutBlock(128, 64)) == 230_429


def test_golden_weights_fill_the_block(golden_block: ShortcutBlock) -> None:
    config = golden_config("shortcut_v2v")["shortcut"]
    assert (golden_block.feat_ch, golden_block.h) == (config["feat_ch"], config["h_dim"])
    assert _count(golden_block) == config["parameters"] - config["parameters_unused"]


@pytest.mark.parametrize("case", sorted(GOLDEN["cases"]))
def test_every_intermediate_matches_golden(case: str, golden_block: ShortcutBlock) -> None:
    stored = golden_tensors("shortcut_v2v", "block")
    wanted = {key.split(".", 1)[1]: tensor for key, tensor in stored.items() if key.startswith(f"{case}.")}
    inputs = [wanted.pop(name) for name in ("a_r", "a_t", "f_r")]
    size = GOLDEN["cases"][case]
    assert inputs[0].shape == (size["batch"], golden_block.feat_ch, size["height"], size["width"])
    trace = golden_block.trace(*inputs)
    got = trace.asdict() | {"f_tilde_r": golden_block.aligned_reference(trace)}
    assert wanted.keys() == got.keys()
    atol = 10 * GOLDEN["fp32_vs_fp64_max_abs_f_hat"][case]
    for name, tensor in wanted.items():
        torch.testing.assert_close(
            got[name], tensor, rtol=0, atol=atol, msg=lambda text, n=name: f"{n}: {text}"
        )
    assert torch.equal(golden_block(*inputs), trace.f_hat)


def test_hetconv_by_its_definition() -> None:
    torch.manual_seed(0)
    het = HetConv(8, 12).double()
    x = torch.randn(1, 8, 5, 6, dtype=torch.float64)
    wanted = torch.zeros(1, 12, 5, 6, dtype=torch.float64)
    for g in range(4):
        own_in, own_out = slice(2 * g, 2 * g + 2), slice(3 * g, 3 * g + 3)
        parts = (het.conv3x3, het.conv1x1, het.conv1x1_)
        g3, f1, g1 = ((conv.weight[own_out], conv.bias[own_out]) for conv in parts)
        spatial = functional.conv2d(x[:, own_in], *g3, padding=1)
        dense, taken = functional.conv2d(x, *f1), functional.conv2d(x[:, own_in], *g1)
        wanted[:, own_out] = spatial + dense - taken
    torch.testing.assert_close(het(x), wanted, rtol=0, atol=1e-12)


def test_even_mask_without_motion_on_equal_features_is_a_convolution() -> None:
    torch.manual_seed(0)
    block = ShortcutBlock(8, 4).double()
    weight = block.mask_deform_conv.regular_conv.weight
    f = torch.randn(1, 4, 6, 10, dtype=torch.float64)
    offset, mask = torch.zeros(1, 18, 6, 10, dtype=torch.float64), torch.full((1, 9, 6, 10), 0.5).double()
    y = sum(deform_conv2d(f, weight, offset, share, padding=1) for share in (mask, 1 - mask))
    torch.testing.assert_close(y, functional.conv2d(f, weight, padding=1), rtol=0, atol=1e-12)


def test_a_fresh_block_starts_as_an_even_blend_without_motion() -> None:
    torch.manual_seed(0)
    block = ShortcutBlock(16, 8)
    trace: BlockTensors = block.trace(*(torch.randn(1, 16, 8, 12) for _ in range(3)))
    assert not trace.global_offset.any()
    assert not trace.local_offset.any()
    assert torch.equal(trace.mask, torch.full_like(trace.mask, 0.5))
    for deform in (block.global_deform_conv, block.mask_deform_conv):
        bound = 1 / (8 * 9) ** 0.5
        values = deform.regular_conv.weight
        assert values.abs().max() <= bound
        assert values.abs().max() > 0.9 * bound
    spread = block.cr1[0].weight.std().item()
    assert spread == pytest.approx(0.02 * (2 / (16 + 8)) ** 0.5, rel=0.3)


def test_detaching_stops_the_gradient_from_local_offsets_to_alignment() -> None:
    torch.manual_seed(0)
    block = ShortcutBlock(8, 4)
    torch.nn.init.normal_(block.offset_generator_local.offset_mask_conv.weight)
    inputs = [torch.randn(1, 8, 8, 8) for _ in range(3)]
    gradients = {}
    with torch.enable_grad():
        for detach in (False, True):
            block.zero_grad()
            block.trace(*inputs, detach_aligned=detach).mask.sum().backward()
            gradients[detach] = block.global_deform_conv.regular_conv.weight.grad
    assert gradients[False] is not None
    assert gradients[False].abs().sum() > 0
    assert gradients[True] is None


def test_every_parameter_learns_from_estimate_and_alignment() -> None:
    torch.manual_seed(0)
    block = random_block(0, 16, 8)
    with torch.enable_grad():
        trace = block.trace(*(torch.randn(1, 16, 8, 8) for _ in range(3)), detach_aligned=True)
        (trace.f_hat.square().sum() + block.aligned_reference(trace).square().sum()).backward()
    assert [name for name, p in block.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(("feat_ch", "h"), [(10, 4), (16, 6), (0, 4), (16, 0), (16, -4)])
def test_channels_that_are_no_multiple_of_4_are_refused(feat_ch: int, h: int) -> None:
    with pytest.raises(GeometryError, match=r"V2V-E6012.*(?s:.*)multiples of 4"):
        ShortcutBlock(feat_ch, h)


@pytest.mark.parametrize("size", [(7, 8), (8, 7)])
def test_odd_features_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(GeometryError, match="V2V-E6011"):
        ShortcutBlock(8, 4)(*(torch.zeros(1, 8, *size) for _ in range(3)))
