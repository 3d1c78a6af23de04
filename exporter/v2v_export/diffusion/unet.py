"""The UNet of SD1.5, SD2.1 and SDXL for streams: diffusers' weights, walked layer by layer.

Cross-attention's keys and values are inputs (``CrossKV`` makes them when the prompt changes), and a caller
may add to the first feature or run modules of its own after every layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from v2v_runtime.manifest.model import TensorSpec

from v2v_export.diffusion import layers
from v2v_export.diffusion.errors import GeometryError, WeightsError
from v2v_export.diffusion.precision import in_precision

TOKENS = 77
"""Length of a prompt in every CLIP text encoder."""


class Place(NamedTuple):
    """Where in the UNet ``after_layer`` is called: after pair ``layer`` of block ``block`` of a half."""

    half: Literal["down", "up"]
    block: int
    layer: int


AfterLayer = Callable[[Place, Tensor], Tensor]


@dataclass(frozen=True)
class CrossLayer:
    """One cross-attention layer, in the order of the walk.

    Attributes:
        name: its module in diffusers' UNet: ``down_blocks.0.attentions.0.transformer_blocks.0.attn2``, say.
    """

    name: str
    heads: int
    head_dim: int


class StreamUNet(nn.Module):
    """The walk. Height and width of the latent are multiples of 2 ** (blocks - 1).

    Args:
        unet: diffusers' ``UNet2DConditionModel``; its tensors are shared where their type is ``dtype``.
        dtype: of weights and activations.
        lowering: ``{"attention": "wide"}`` computes scores in float32 (see ``layers.attend``); the default
            is "fused". A configuration with ``upcast_attention`` (SD2.1 for 768 pixels) has them in float32
            whatever is chosen.

    Raises:
        WeightsError: V2V-E6107, a configuration that this walk does not know.
    """

    def __init__(
        self,
        unet: nn.Module,
        dtype: torch.dtype = torch.float32,
        lowering: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        source: Any = unet
        check_supported(source.config)
        self.unet: Any = in_precision(unet, dtype).eval()
        self.dtype = dtype
        chosen = (lowering or {}).get("attention", "fused")
        self.wide = chosen == "wide" or bool(source.config.upcast_attention)
        self.cross_layers = cross_layers(unet)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        cross: Sequence[Tensor],
        added: Tensor | None = None,
        *,
        residual: Tensor | None = None,
        after_layer: AfterLayer | None = None,
    ) -> Tensor:
        """The network's prediction.

        Args:
            sample: [B, 4, h, w], in the module's type.
            timestep: [B], integers or float32.
            cross: k, v of each of ``cross_layers``, [rows, heads, 77, head_dim]. Row r serves the batch rows
                from r * B / rows to (r + 1) * B / rows.
            added: [rows, D], what SDXL adds to the time embedding.
            residual: [B or 1, C, h, w], added after ``conv_in``; the first skip is the sum.
            after_layer: called with the place and the feature [B, C, h', w'] after every layer (a resnet
                with its transformer, if any) of the down and up blocks; returns the feature to go on with.

        Returns:
            [B, 4, h, w].

        Raises:
            GeometryError: V2V-E6120 or V2V-E6121, rows or sizes that do not fit.
        """
        self._check(sample, cross, added)
        walk = _Walk(iter(cross), self.wide, after_layer or _unchanged)
        activated = self._time(timestep, added)
        x = self.unet.conv_in(sample)
        if residual is not None:
            x = x + residual
        skips = [x]
        for index, block in enumerate(self.unet.down_blocks):
            for layer, (resnet, transformer) in enumerate(_pairs(block)):
                x = walk.layer(resnet, transformer, x, activated, Place("down", index, layer))
                skips.append(x)
            if block.downsamplers is not None:
                x = layers.downsample(block.downsamplers[0], x)
                skips.append(x)
        middle = self.unet.mid_block
        x = layers.resnet(middle.resnets[0], x, activated)
        for transformer, resnet in zip(middle.attentions, middle.resnets[1:], strict=True):
            x = layers.resnet(resnet, walk.transformer(transformer, x), activated)
        for index, block in enumerate(self.unet.up_blocks):
            for layer, (resnet, transformer) in enumerate(_pairs(block)):
                joined = torch.cat((x, skips.pop()), dim=1)
                x = walk.layer(resnet, transformer, joined, activated, Place("up", index, layer))
            if block.upsamplers is not None:
                x = layers.upsample(block.upsamplers[0], x)
        x = layers.group_norm(self.unet.conv_norm_out, x, silu=True)
        y: Tensor = self.unet.conv_out(x)
        return y

    def _time(self, timestep: Tensor, added: Tensor | None) -> Tensor:
        """The time embedding after the SiLU that every resnet begins with, [B, D]."""
        unet = self.unet
        config = unet.time_proj
        embedding = layers.sinusoid(
            timestep,
            config.num_channels,
            flip=config.flip_sin_to_cos,
            shift=config.downscale_freq_shift,
        )
        embedding = unet.time_embedding(embedding.to(self.dtype))
        if added is not None:
            rows = added.shape[0]
            embedding = (embedding.unflatten(0, (rows, -1)) + added[:, None]).flatten(0, 1)
        return functional.silu(embedding)

    def _check(self, sample: Tensor, cross: Sequence[Tensor], added: Tensor | None) -> None:
        batch, _, height, width = sample.shape
        multiple = 2 ** (len(self.unet.down_blocks) - 1)
        if height % multiple or width % multiple:
            raise GeometryError(
                "V2V-E6121",
                f"latent of {height} x {width}",
                f"height and width that are multiples of {multiple}",
                f"use frames whose height and width are multiples of {8 * multiple}",
            )
        wanted = [(item.heads, item.head_dim) for item in self.cross_layers for _ in range(2)]
        given = [(item.shape[1], item.shape[3]) for item in cross]
        rows = cross[0].shape[0] if cross else 1
        if wanted != given or batch % rows:
            raise GeometryError(
                "V2V-E6120",
                f"{len(given)} cross-attention tensors of {rows} rows for a batch of {batch}",
                f"{len(wanted)} tensors, k and v of each layer, with a number of rows that divides the batch",
                "make them with CrossKV of the same network",
            )
        if (added is not None) != (self.unet.config.addition_embed_type == "text_time"):
            raise GeometryError(
                "V2V-E6120",
                f"added conditioning {'given' if added is not None else 'missing'}",
                "added conditioning exactly for a UNet of SDXL's kind",
                "take it from CrossKV of the same network",
            )


class _Walk:
    """What one pass carries from layer to layer."""

    def __init__(self, cross: Iterator[Tensor], wide: bool, after_layer: AfterLayer) -> None:
        self._cross, self._wide, self._after = cross, wide, after_layer

    def layer(self, resnet: Any, transformer: Any, x: Tensor, activated: Tensor, place: Place) -> Tensor:
        x = layers.resnet(resnet, x, activated)
        if transformer is not None:
            x = self.transformer(transformer, x)
        return self._after(place, x)

    def transformer(self, module: Any, x: Tensor) -> Tensor:
        """diffusers' ``Transformer2DModel`` over [B, C, h, w], projections as 1x1 convolutions or linear."""
        height, width = x.shape[2:]
        y = layers.group_norm(module.norm, x)
        if module.use_linear_projection:
            y = module.proj_in(y.flatten(2).transpose(1, 2))
        else:
            y = module.proj_in(y).flatten(2).transpose(1, 2)
        for block in module.transformer_blocks:
            y = y + self._self_attention(block.attn1, layers.layer_norm(block.norm1, y))
            y = y + self._cross_attention(block.attn2, layers.layer_norm(block.norm2, y))
            y = y + layers.feed_forward(block.ff, layers.layer_norm(block.norm3, y))
        if module.use_linear_projection:
            y = module.proj_out(y).transpose(1, 2).unflatten(2, (height, width))
        else:
            y = module.proj_out(y.transpose(1, 2).unflatten(2, (height, width)))
        result: Tensor = x + y
        return result

    def _self_attention(self, module: Any, x: Tensor) -> Tensor:
        q, k, v = (layers.split_heads(to(x), module.heads) for to in (module.to_q, module.to_k, module.to_v))
        y: Tensor = module.to_out[0](layers.join_heads(layers.attend(q, k, v, wide=self._wide)))
        return y

    def _cross_attention(self, module: Any, x: Tensor) -> Tensor:
        """Batch rows that share a prompt are one long row of queries: K and V are not repeated for them."""
        k, v = next(self._cross), next(self._cross)
        batch = x.shape[0]
        q = module.to_q(x).reshape(k.shape[0], -1, x.shape[2])
        y = layers.join_heads(layers.attend(layers.split_heads(q, module.heads), k, v, wide=self._wide))
        result: Tensor = module.to_out[0](y).reshape(batch, -1, x.shape[2])
        return result


def cross_layers(unet: nn.Module) -> tuple[CrossLayer, ...]:
    """The cross-attention layers of a UNet in the order in which the walk meets them."""
    return tuple(
        CrossLayer(name, module.heads, module.inner_dim // module.heads)
        for name, module in walk_cross_attention(unet)
    )


def walk_cross_attention(unet: Any) -> Iterator[tuple[str, Any]]:
    """Name and module of every cross-attention, down blocks first, then the middle, then up blocks."""
    blocks = [
        *((f"down_blocks.{index}", block) for index, block in enumerate(unet.down_blocks)),
        ("mid_block", unet.mid_block),
        *((f"up_blocks.{index}", block) for index, block in enumerate(unet.up_blocks)),
    ]
    for name, block in blocks:
        for layer, transformer in enumerate(getattr(block, "attentions", ())):
            for depth, inner in enumerate(transformer.transformer_blocks):
                yield f"{name}.attentions.{layer}.transformer_blocks.{depth}.attn2", inner.attn2


def cross_ports(of: Sequence[CrossLayer]) -> tuple[str, ...]:
    """Names of the ports of k and v: ``cross_k_00``, ``cross_v_00``, ``cross_k_01``, ..."""
    digits = max(2, len(str(len(of) - 1)))
    return tuple(f"cross_{which}_{index:0{digits}d}" for index in range(len(of)) for which in "kv")


def cross_specs(of: Sequence[CrossLayer], rows: int, tokens: int = TOKENS) -> dict[str, TensorSpec]:
    """Port -> type and shape of the k and v of these layers."""
    shapes = [(rows, layer.heads, tokens, layer.head_dim) for layer in of for _ in range(2)]
    return {port: TensorSpec("float", shape) for port, shape in zip(cross_ports(of), shapes, strict=True)}


def check_supported(config: Mapping[str, Any], origin: str = "the network") -> None:
    """Refuses a UNet with parts that the walk would leave out.

    Args:
        config: of diffusers' class, with every entry.
        origin: how the error calls it.

    Raises:
        WeightsError: V2V-E6107.
    """
    known: dict[str, tuple[str | None, ...]] = {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "mid_block_type": ("UNetMidBlock2DCrossAttn",),
        "act_fn": ("silu",),
        "addition_embed_type": (None, "text_time"),
        "resnet_time_scale_shift": ("default",),
        "time_embedding_type": ("positional",),
    }
    unset = (
        "center_input_sample",
        "class_embed_type",
        "num_class_embeds",
        "encoder_hid_dim",
        "encoder_hid_dim_type",
        "dual_cross_attention",
        "only_cross_attention",
        "mid_block_only_cross_attention",
        "time_cond_proj_dim",
        "time_embedding_act_fn",
        "timestep_post_act",
        "cross_attention_norm",
        "class_embeddings_concat",
        "resnet_skip_time_act",
    )
    wrong = {name: config[name] for name in unset if config[name]}
    for name, values in known.items():
        given = config[name] if isinstance(config[name], list | tuple) else [config[name]]
        if not all(item in values for item in given):
            wrong[name] = config[name]
    for name, plain in (("mid_block_scale_factor", 1), ("attention_type", "default")):
        if config[name] != plain:
            wrong[name] = config[name]
    if wrong:
        shown = ", ".join(f"{name} = {value}" for name, value in wrong.items())
        fix = "use a checkpoint of one of these"
        if "time_cond_proj_dim" in wrong:
            fix = "it was distilled with guidance as an input: take the model before that, and an LCM-LoRA"
        raise WeightsError(
            "V2V-E6107",
            f"{origin} is a UNet with {shown}",
            "the blocks and conditioning of SD1.5, SD2.1 or SDXL",
            fix,
        )


def _pairs(block: Any) -> Iterator[tuple[Any, Any]]:
    transformers = getattr(block, "attentions", None) or [None] * len(block.resnets)
    return zip(block.resnets, transformers, strict=True)


def _unchanged(place: Place, x: Tensor) -> Tensor:
    return x
