"""DPT-Hybrid in the form that is exported: folded convolutions, constant positions, fp32 islands.

The modules and weights are those of ``transformers.DPTForDepthEstimation``; only the walk is written out, so
that tracing sees neither its output recorders nor its attention dispatch. Three rewrites, all exact:

* BiT's weight-standardised convolutions standardise a weight that never changes: done once.
* The position embedding is resized to the grid it already has: taken as it is.
* Norms take their statistics in float32 where the input is narrower.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DPTForDepthEstimation
from transformers.models.bit.modeling_bit import WeightStandardizedConv2d
from v2v_export.diffusion import layers
from v2v_export.export.precision import Float32Island, to_precision
from v2v_export.systems.live2diff.errors import WeightsError


class FoldedConv(nn.Module):
    """A weight-standardised convolution with its weight standardised beforehand.

    ``w <- (w - mean) / sqrt(var + eps)`` per output channel, biased variance (Qiao et al., 2019, equation 2),
    in float64. The "same" padding of a stride-2 convolution depends on the input's size alone, which is
    static.
    """

    def __init__(self, conv: WeightStandardizedConv2d) -> None:
        super().__init__()
        flat = conv.weight.detach().double().flatten(1)
        variance, mean = torch.var_mean(flat, dim=1, correction=0, keepdim=True)
        folded = (flat - mean) * torch.rsqrt(variance + conv.eps)
        self.weight = nn.Parameter(folded.view_as(conv.weight).float())
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach().float())
        self.pad = conv.pad
        self.stride, self.padding, self.dilation, self.groups = (
            conv.stride,
            conv.padding,
            conv.dilation,
            conv.groups,
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.pad is not None:
            x = self.pad(x)
        return functional.conv2d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class DepthDetector(nn.Module):
    """``[G, 3, S, S]`` in [-1, 1] -> inverse depth ``[G, S, S]``, at least 0, of no fixed scale.

    S is the detector's picture size (384). The pictures need no other normalisation: MiDaS takes mean 0.5 and
    deviation 0.5, which [-1, 1] is.

    The transformer's layers, whose attention engines fuse in half precision alone, run in ``dtype``; the
    convolutions before and after them are float32. What is made of a depth is its min-max picture, which
    magnifies rounding by the ratio of a depth's size to its range: at the real size, with random weights of
    both signs, half precision throughout moved a picture by 0.12 of [-1, 1], in the layers alone by 0.004. As
    random weights are drawn now, the last convolution's positive, it is 0.001 to 0.002 in the layers alone.

    Args:
        model: a hybrid DPT; its weights are copied.
        dtype: of the transformer's layers.
        wide: their scores are float32 from the product on, see ``layers.attend``.

    Raises:
        WeightsError: V2V-E6272, a DPT of another kind.
    """

    def __init__(
        self, model: DPTForDepthEstimation, dtype: torch.dtype = torch.float32, *, wide: bool = False
    ) -> None:
        super().__init__()
        check_hybrid(model.config)
        model = copy.deepcopy(model).float().eval()
        _rewrite(model)
        dpt, neck = model.dpt, model.neck
        embeddings = dpt.embeddings
        self.size = int(embeddings.image_size[0])
        self.grid = self.size // int(embeddings.patch_size)
        self.embedder, self.stages = embeddings.backbone.bit.embedder, embeddings.backbone.bit.encoder.stages
        self.projection = embeddings.projection
        self.cls_token = nn.Parameter(embeddings.cls_token.detach().clone())
        self.positions = nn.Parameter(embeddings.position_embeddings.detach().clone())
        self.dtype, self.wide = dtype, wide
        self.layers = to_precision(dpt.encoder.layer, dtype)
        self.taken: tuple[int, ...] = tuple(model.config.backbone_out_indices[2:])
        self.readouts, self.reassemble = neck.reassemble_stage.readout_projects, neck.reassemble_stage.layers
        self.convs, self.fusion, self.head = neck.convs, neck.fusion_stage.layers, model.head.head

    def forward(self, pictures: Tensor) -> Tensor:
        features = self._features(pictures)
        maps = [conv(feature) for conv, feature in zip(self.convs, features, strict=True)]
        fused: Tensor | None = None
        for layer, feature in zip(self.fusion, reversed(maps), strict=True):
            fused = layer(feature) if fused is None else layer(fused, feature)
        depth: Tensor = self.head(fused)
        return depth.squeeze(1)

    def _features(self, pictures: Tensor) -> list[Tensor]:
        """Two maps of the ResNet's and two of the ViT's, fine to coarse."""
        x = self.embedder(pictures)
        found: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        tokens = self.projection(found.pop()).flatten(2).transpose(1, 2)
        cls_token = self.cls_token.expand(tokens.shape[0], -1, -1)
        tokens = (torch.cat((cls_token, tokens), 1) + self.positions).to(self.dtype)
        for index, layer in enumerate(self.layers):
            tokens = _vit_layer(layer, tokens, self.wide)
            if index in self.taken:
                found.append(self._as_map(tokens.float(), len(found)))
        return found

    def _as_map(self, tokens: Tensor, place: int) -> Tensor:
        """Tokens [G, 1 + n, C] -> map [G, c, y, x], the class token projected into each."""
        cls_token, grid = tokens[:, :1], tokens[:, 1:]
        read = self.readouts[place](torch.cat((grid, cls_token.expand_as(grid)), -1))
        square = read.transpose(1, 2).unflatten(2, (self.grid, self.grid))
        result: Tensor = self.reassemble[place](square)
        return result


def check_hybrid(config: Any) -> None:
    """Raise V2V-E6272 for a DPT that is not the hybrid one on a BiT stem, or not square."""
    backbone = getattr(config, "backbone_config", None)
    stem = getattr(backbone, "model_type", None)
    layers = getattr(backbone, "layer_type", None)
    size, patch = config.image_size, config.patch_size
    square = isinstance(size, int) and isinstance(patch, int)
    if config.is_hybrid and stem == "bit" and layers == "bottleneck" and square and not config.add_projection:
        return
    raise WeightsError(
        "V2V-E6272",
        f"depth detector: DPT with is_hybrid = {config.is_hybrid}, backbone {stem}, layers {layers}, "
        f"pictures {size}, patches {patch}, add_projection = {config.add_projection}",
        "DPT-Hybrid on a BiT stem of bottleneck layers, for square pictures",
        "use Intel/dpt-hybrid-midas or weights trained from it",
    )


def _vit_layer(layer: Any, x: Tensor, wide: bool) -> Tensor:
    """A pre-norm transformer layer: x + attention(norm(x)), then x + MLP(norm(x))."""
    y = layer.layernorm_before(x)
    inner = layer.attention.attention
    q, k, v = (
        layers.split_heads(to(y), inner.num_attention_heads) for to in (inner.query, inner.key, inner.value)
    )
    x = x + layer.attention.output.dense(layers.join_heads(layers.attend(q, k, v, wide=wide)))
    y = layer.intermediate(layer.layernorm_after(x))
    result: Tensor = x + layer.output.dense(y)
    return result


def _rewrite(module: nn.Module) -> None:
    """Puts folded convolutions and norms with float32 statistics in their places."""
    for name, child in module.named_children():
        if isinstance(child, WeightStandardizedConv2d):
            setattr(module, name, FoldedConv(child))
        elif isinstance(child, nn.GroupNorm | nn.LayerNorm):
            setattr(module, name, Float32Island(child))
        else:
            _rewrite(child)
