"""Each rewrite against the literal form, in float64 to 1e-12; then whole frames in float32."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn import functional
from v2v_export.export.precision import to_precision
from v2v_export.systems.shortcut_v2v.block import HetConv, ShortcutBlock
from v2v_export.systems.shortcut_v2v.deform import deform_conv2d
from v2v_export.systems.shortcut_v2v.errors import GeometryError
from v2v_export.systems.shortcut_v2v.folds import Fold, FoldedHetConv, FoldedPair
from v2v_export.systems.shortcut_v2v.model import Level, ResnetGenerator
from v2v_export.systems.shortcut_v2v.pictures import to_tensor
from v2v_export.systems.shortcut_v2v.random_weights import random_block, random_teacher
from v2v_export.systems.shortcut_v2v.reference import ReferenceStream
from v2v_export.systems.shortcut_v2v.rewrites import RewrittenBlock, torch_ada_bd, torch_sample

FOLDS: tuple[Fold, ...] = ("split", "dense")


def _same(got: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)


def _randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("spread", [0.0, 0.7, 5.0, 60.0])
def test_global_deform_is_a_convolution_and_one_sampling(spread: float) -> None:
    x, weight, offset = (
        _randn(2, 4, 6, 9),
        _randn(5, 4, 3, 3, seed=1) / 6,
        spread * _randn(2, 2, 6, 9, seed=2),
    )
    wanted = deform_conv2d(x, weight, offset.repeat(1, 9, 1, 1), padding=1)
    row, col = torch.arange(6.0).double().view(-1, 1), torch.arange(9.0).double()
    plane = functional.conv2d(x, weight, padding=2)
    _same(torch_sample(plane, offset[:, 0] + row + 1, offset[:, 1] + col + 1), wanted)


@pytest.mark.parametrize("spread", [0.0, 2.0, 40.0])
def test_blending_in_one_product(spread: float) -> None:
    T, F_star, weight = _randn(2, 4, 6, 8), _randn(2, 4, 6, 8, seed=1), _randn(4, 4, 3, 3, seed=2) / 6
    offset, mask = spread * _randn(2, 18, 6, 8, seed=3), torch.sigmoid(2 * _randn(2, 9, 6, 8, seed=4))
    current = deform_conv2d(T, weight, torch.zeros_like(offset), mask, padding=1)
    reference = deform_conv2d(F_star, weight, offset, 1 - mask, padding=1)
    _same(torch_ada_bd(T, F_star, offset, mask, weight), current + reference)


def test_even_mask_without_motion_on_equal_features_is_a_convolution() -> None:
    f, weight = _randn(1, 4, 6, 8), _randn(4, 4, 3, 3, seed=1)
    offset, mask = torch.zeros(1, 18, 6, 8).double(), torch.full((1, 9, 6, 8), 0.5).double()
    _same(torch_ada_bd(f, f, offset, mask, weight), functional.conv2d(f, weight, padding=1))


def test_halving_an_even_size_is_average_pooling() -> None:
    x = _randn(1, 3, 10, 14)
    halved = functional.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
    _same(functional.avg_pool2d(x, 2), halved)


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize(("in_ch", "out_ch"), [(8, 8), (16, 4), (8, 12)])
def test_hetconv_folds(fold: Fold, in_ch: int, out_ch: int) -> None:
    torch.manual_seed(0)
    het, x = HetConv(in_ch, out_ch).double(), _randn(2, in_ch, 5, 7)
    _same(FoldedHetConv(het, fold)(x), het(x))
    pair = FoldedPair(het, fold)
    first, second = x.chunk(2, dim=1)
    _same(pair(first, pair.second(second)), het(x))


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize("share", [2, 4, 8])
def test_rewritten_block_is_the_literal_block(fold: Fold, share: int) -> None:
    block = random_block(3, 32, 32 // share).double()
    a_r, a_t, f_r = (_randn(2, 32, 8, 12, seed=seed) for seed in range(3))
    rewritten = RewrittenBlock.from_block(block, fold=fold)
    state = rewritten.reference_state(a_r, f_r)
    _same(rewritten(a_t, *state), block(a_r, a_t, f_r))
    shapes = rewritten.state_shapes(8, 12)
    assert [tuple(tensor.shape[1:]) for tensor in state] == [shape[1:] for shape in shapes.values()]


@pytest.mark.parametrize(
    ("motion", "feature", "picture"),
    [
        # Offsets of several pixels: where features are sampled far off, float32 itself is 2e-4 away from
        # float64 on f_hat, so two correct evaluations may differ by 1e-3 deviations there and by 1e-4 behind
        # the tanh. 2e-5 holds where offsets are small, which the second case pins down.
        (1.0, 1e-3, 1e-4),
        # Small offsets: rounding alone is left.
        (0.05, 2e-5, 2e-5),
    ],
)
@pytest.mark.parametrize("level", list(Level))
def test_rewritten_frames_in_float32(level: Level, motion: float, feature: float, picture: float) -> None:
    """``motion`` scales the offsets; ``feature`` bounds f_hat in deviations, ``picture`` in [-1, 1]."""
    teacher = random_teacher(2, 16, 2)
    channels = teacher.split(level).channels
    block = random_block(2, channels, channels // 2)
    for head, rows in (
        (block.offset_generator_global.offset_conv, 2),
        (block.offset_generator_local.offset_mask_conv, 18),
    ):
        assert head.bias is not None
        head.weight[:rows] *= motion
        head.bias[:rows] *= motion
    stream = ReferenceStream(teacher, block, level, interval=3)
    rewritten = RewrittenBlock.from_block(block)
    split = teacher.split(level)
    smooth = functional.interpolate(
        torch.rand(1, 3, 6, 10, generator=torch.Generator().manual_seed(1)), scale_factor=8
    )
    frames = [(smooth[0, :, :, k : k + 64].permute(1, 2, 0) * 255).byte().numpy() for k in range(4)]
    state = None
    for frame in frames:
        wanted = stream.step(frame)
        a = split.encoder(to_tensor(frame))
        if state is None:
            state = rewritten.reference_state(a, split.middle(a))
            continue
        f_hat = rewritten(a, *state)
        assert (f_hat - wanted.features.f).abs().max() <= feature * wanted.features.f.std()
        assert (split.decoder(f_hat)[0] - wanted.picture).abs().max() <= picture


def test_state_is_a_fifth_of_the_literal_one() -> None:
    with torch.device("meta"):
        block = ShortcutBlock(128, 64)
    # Unsup teacher, medium, 256 x 512: 6.5 MB in float32 where a_r and f_r take 33.6 MB.
    values = sum(torch.Size(shape).numel() for shape in _rewritten(block).state_shapes(128, 256).values())
    assert values == 2 * 64 * 66 * 130 + 64 * 64 * 128
    assert 2 * 128 * 128 * 256 / values > 5


def _rewritten(block: ShortcutBlock) -> RewrittenBlock:
    return RewrittenBlock.from_block(block)


def test_lowerings_are_taken_from_the_caller() -> None:
    block = random_block(3, 8, 4).double()
    calls: list[str] = []

    def sample(x: torch.Tensor, rows: torch.Tensor, cols: torch.Tensor) -> torch.Tensor:
        calls.append("sample")
        assert x.shape == (1, 8, 6, 8)  # both planes, joined
        assert rows.shape == cols.shape == (1, 4, 6)
        return torch_sample(x, rows, cols)

    def ada_bd(*arguments: torch.Tensor) -> torch.Tensor:
        calls.append("ada_bd")
        assert [tuple(item.shape) for item in arguments] == [
            (1, 4, 8, 12),
            (1, 4, 8, 12),
            (1, 18, 8, 12),
            (1, 9, 8, 12),
            (4, 4, 3, 3),
        ]
        return torch_ada_bd(*arguments)

    rewritten = RewrittenBlock.from_block(block, ada_bd=ada_bd, sample=sample)
    a_r, a_t, f_r = (_randn(1, 8, 8, 12, seed=seed) for seed in range(3))
    _same(rewritten(a_t, *rewritten.reference_state(a_r, f_r)), block(a_r, a_t, f_r))
    assert calls == ["sample", "ada_bd"]


@pytest.mark.parametrize("size", [(7, 8), (8, 7)])
def test_odd_features_are_refused(size: tuple[int, int]) -> None:
    rewritten = _rewritten(random_block(3, 8, 4))
    with pytest.raises(GeometryError, match="V2V-E6011"):
        rewritten.reference_state(torch.zeros(1, 8, *size), torch.zeros(1, 8, *size))


def test_exported_graph_computes_the_block() -> None:
    block = random_block(3, 16, 8)
    a_r, a_t, f_r = (_randn(1, 16, 8, 12, seed=seed).float() for seed in range(3))
    rewritten = _rewritten(block)
    state = rewritten.reference_state(a_r, f_r)
    program = torch.onnx.export(
        rewritten,
        (a_t, *state),
        dynamo=True,
        opset_version=18,
        input_names=["a", "z_r", "z_f", "p"],
        verbose=False,
    )
    assert program is not None
    ops = {node.op_type for node in program.model_proto.graph.node}
    assert "AveragePool" in ops
    assert "GridSample" in ops
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feeds = {name: item.numpy() for name, item in zip(("a", "z_r", "z_f", "p"), (a_t, *state), strict=True)}
    wanted = block(a_r, a_t, f_r)
    np.testing.assert_allclose(
        session.run(None, feeds)[0], wanted.numpy(), rtol=0, atol=1e-3 * float(wanted.std())
    )


def test_half_precision_graph_keeps_norms_and_positions_in_float32() -> None:
    class Frame(torch.nn.Module):
        def __init__(self, teacher: ResnetGenerator, block: RewrittenBlock) -> None:
            super().__init__()
            split = teacher.split("medium")
            self.encoder, self.block, self.decoder = split.encoder, block, split.decoder

        def forward(self, x: torch.Tensor, *state: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.decoder(self.block(self.encoder(x), *state))
            return y

    frame = Frame(random_teacher(3, 8, 1), _rewritten(random_block(3, 16, 8))).eval()
    to_precision(frame, torch.float16)
    shapes = frame.block.state_shapes(8, 8).values()
    inputs = (torch.zeros(1, 3, 16, 16).half(), *(torch.zeros(shape).half() for shape in shapes))
    program = torch.onnx.export(frame, inputs, dynamo=True, opset_version=18, verbose=False)
    assert program is not None
    seen: dict[str, set[str]] = {}
    for node in program.model.graph:
        seen.setdefault(node.op_type, set()).update(
            str(item.dtype) for item in node.inputs[:2] if item is not None
        )
    assert seen["InstanceNormalization"] == {"FLOAT"}
    assert seen["GridSample"] == {"FLOAT"}
    wide: dict[str, set[str]] = {"FLOAT": set(), "FLOAT16": set()}
    for node in program.model.graph:
        if node.op_type == "Conv":
            scope = node.metadata_props["pkg.torch.onnx.name_scopes"]
            part = next((name for name in ("global_offsets", "local_offsets") if name in scope), "other")
            wide[str(node.inputs[0].dtype)].add(part)
    # What makes offsets is float32 from its first layer on; all other convolutions are half precision.
    assert wide == {"FLOAT": {"global_offsets", "local_offsets"}, "FLOAT16": {"other"}}
    assert seen["Conv"] == {"FLOAT16", "FLOAT"}
