"""The first and the last convolution in their other forms are the plain ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from v2v_export.export.pipeline import export_graph
from v2v_export.system import GraphSpec
from v2v_export.systems.shortcut_v2v.ends import BlockedConv, CentredConv, MomentNorm, rewrite_ends
from v2v_export.systems.shortcut_v2v.random_weights import random_teacher
from v2v_runtime.manifest.model import TensorSpec


@pytest.mark.parametrize("block", [1, 2, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_blocks_of_pixels_equal_the_convolution(block: int, bias: bool) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 3, 7, bias=bias).double()
    x = torch.randn(2, 5, 14, 22, dtype=torch.float64)
    assert (BlockedConv(conv, block)(x) - conv(x)).abs().max() < 1e-12


@pytest.mark.parametrize("level", ["low", "medium", "high"])
def test_parts_with_rewritten_ends_are_the_parts(level: str) -> None:
    split = random_teacher(0, ngf=8, n_blocks=1).double().split(level)
    lowering = {"first_conv": "centred", "last_conv": "blocked"}
    x = 3 + torch.randn(1, 3, 16, 24, dtype=torch.float64)
    a = split.encoder(x)
    encoder = rewrite_ends(split.encoder, lowering)
    assert (encoder(x) - a).abs().max() < 1e-12
    # At level low the feature is the raw convolution, whose mean the block reads.
    assert sum(isinstance(module, CentredConv) for module in encoder) == (level != "low")
    f = split.middle(a)
    decoder = rewrite_ends(split.decoder, lowering)
    assert (decoder(f) - split.decoder(f)).abs().max() < 1e-12
    assert sum(isinstance(module, BlockedConv) for module in decoder) == 1


def test_whole_teacher_with_rewritten_ends_is_the_teacher() -> None:
    teacher = random_teacher(1, ngf=8, n_blocks=1).double()
    rewritten = rewrite_ends(teacher.model, {"first_conv": "centred", "last_conv": "blocked"})
    x = torch.randn(1, 3, 16, 24, dtype=torch.float64)
    assert (rewritten(x) - teacher(x)).abs().max() < 1e-12
    kinds = [type(module) for module in rewritten]
    assert kinds.count(CentredConv) == kinds.count(BlockedConv) == 1


def test_direct_forms_change_nothing() -> None:
    model = random_teacher(1, ngf=8, n_blocks=1).model
    assert list(rewrite_ends(model, {"first_conv": "direct", "last_conv": "direct"})) == list(model)


def test_norm_from_moments_is_instance_norm() -> None:
    torch.manual_seed(0)
    x = 0.3 + torch.randn(1, 6, 12, 20, dtype=torch.float64)
    expected = nn.functional.instance_norm(x, eps=1e-5)
    assert (MomentNorm(1e-5)(x) - expected).abs().max() < 1e-12


def test_norm_from_moments_is_exact_in_onnx_runtime_where_its_own_is_not(tmp_path: Path) -> None:
    """Heavy tails on a plane of 2^17 values: what the first convolution makes of a moving picture."""
    shape = (1, 2, 256, 512)
    x = np.random.default_rng(0).standard_t(3, shape).astype(np.float32)
    wide = x.astype(np.float64)
    centred = wide - wide.mean((2, 3), keepdims=True)
    exact = centred / np.sqrt(centred.var((2, 3), keepdims=True) + 1e-5)
    spec = TensorSpec("float32", shape)
    graph = GraphSpec("norm", lambda: MomentNorm(1e-5), {"x": spec}, {"y": spec})
    path = export_graph(graph, "float32", {}, tmp_path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    # 1e-6 of the value: the worst is the farthest of 2^18 values, 80 deviations out.
    assert np.max(np.abs(y - exact) / (1 + np.abs(exact))) < 1e-6


def test_other_convolutions_are_refused() -> None:
    with pytest.raises(ValueError, match="stride-1"):
        BlockedConv(nn.Conv2d(4, 4, 3, padding=1))
