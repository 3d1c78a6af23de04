"""One temporal module in a streaming step: T rows, one new token each, everything older read from caches.

The attention itself is ``v2v::WindowAttention``, which reads the caches where they lie.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from v2v_export.diffusion import layers
from v2v_export.diffusion.precision import in_precision
from v2v_export.systems.live2diff.ring_clock import RingClock
from v2v_export.systems.live2diff.temporal import TemporalAttention, TemporalTransformer, sinusoid
from v2v_export.systems.live2diff.temporal_scatter import scattered
from v2v_export.systems.live2diff.temporal_state import HEADS, RING, SINKS, Cache
from v2v_plugins.window_attention.torch_op import window_attention


class StepAttention(nn.Module):
    """Attention of one new token per row and position over its window.

    Keys and values get their positions after the projections, which have no bias: W (x + pe) = W x + W pe
    (method, section 1.4). Sinks hold theirs; those of the ring are rows of a table. The query gets its own
    before the projection, together with the softmax's scale.

    Args:
        attention: its weights.
        dtype: of weights, caches and activations. Sums of dot products, softmax and the weighted sum are
            float32 in any case.
    """

    pe: Tensor
    moves: Tensor

    def __init__(self, attention: TemporalAttention, dtype: torch.dtype) -> None:
        super().__init__()
        channels = attention.to_q.weight.shape[1]
        self.to_q = in_precision(attention.to_q, dtype)
        self.to_out = in_precision(attention.to_out[0], dtype)
        self.to_kv = joined(attention, dtype)
        # Added in float32, before anything is narrowed.
        self.register_buffer("pe", sinusoid(channels)[SINKS : SINKS + RING])
        self.register_buffer("moves", ring_positions(attention).to(dtype))

    def forward(self, y: Tensor, cache: tuple[Tensor, Tensor], clock: RingClock) -> tuple[Tensor, Tensor]:
        """One step.

        Args:
            y: float32 [T, HW, C], normed.
            cache: sinks [T, 8, HW, 2, heads, d] and ring [8, T, HW, 2, heads, d].
            clock: of the step.

        Returns:
            The result [T, HW, C] in the module's type, and the ring's new entry [1, T, HW, 2, heads, d].
            ``InPlaceAttention`` takes and gives the ring itself, in another shape.
        """
        sinks, ring = cache
        rows, places, channels = y.shape
        dtype, head = self.to_q.weight.dtype, channels // HEADS
        asked = (y + self.pe[clock.position[RING]][:, None]) * head**-0.5
        query = self.to_q(asked.to(dtype)).reshape(rows, places, HEADS, head)
        own = self.to_kv(y.to(dtype)).reshape(rows, places, 2, HEADS, head)
        ring, written = self.remembered(ring, own, clock)
        # Of each entry, then of the own token.
        moves = self.moves[clock.position.flatten()].reshape(RING + 1, rows, 2, HEADS, head)
        mixed = window_attention(query, own, sinks, ring, moves, clock.opened)
        return self.to_out(mixed.reshape(y.shape)), written

    def remembered(self, ring: Tensor, own: Tensor, clock: RingClock) -> tuple[Tensor, Tensor]:
        """The ring to attend, [8, T, HW, 2, heads, d], and what goes out for the next step."""
        return ring, own[None]


class InPlaceAttention(StepAttention):
    """The same with the ring updated inside: [1, 1, 8, T HW 2C] comes in, and goes out with its new entry.

    That is the memory of [8, T, HW, 2, heads, d] in the only shape in which TensorRT updates a cache: four
    axes, entries on the last but one. Entries are whole there, for all rows at once.
    """

    def remembered(self, ring: Tensor, own: Tensor, clock: RingClock) -> tuple[Tensor, Tensor]:
        # Attended is what comes out: engines may write it over what came in, at any time.
        updated = scattered(ring, own.reshape(1, 1, 1, -1), clock.entry)
        return updated.reshape(RING, *own.shape), updated


class StepModule(nn.Module):
    """A whole module: x [T, C, h, w] and the caches of its two attentions -> (x, their new entries)."""

    def __init__(self, transformer: TemporalTransformer, dtype: torch.dtype, cache: Cache = "delta") -> None:
        super().__init__()
        self.shell = Shell(transformer, dtype)
        form = InPlaceAttention if cache == "in_place" else StepAttention
        attentions = transformer.block().attentions()
        self.attentions = nn.ModuleList([form(item, dtype) for item in attentions])

    def forward(
        self, x: Tensor, caches: Sequence[tuple[Tensor, Tensor]], clock: RingClock
    ) -> tuple[Tensor, list[Tensor]]:
        y = self.shell.enter(x)
        new = []
        for attention, norm, cache in zip(self.attentions, self.shell.norms, caches, strict=True):
            mixed, entry = attention(wide_layer_norm(norm, y), cache, clock)
            y = y + mixed
            new.append(entry)
        return self.shell.leave(y, x), new


class Shell(nn.Module):
    """A module without its attentions: what comes before, between and after them."""

    def __init__(self, transformer: TemporalTransformer, dtype: torch.dtype) -> None:
        super().__init__()
        block = transformer.block()
        self.norm = in_precision(transformer.norm, dtype)
        self.proj_in = in_precision(transformer.proj_in, dtype)
        self.norms = in_precision(block.norms, dtype)
        self.ff_norm = in_precision(block.ff_norm, dtype)
        self.ff = in_precision(block.ff, dtype)
        self.proj_out = in_precision(transformer.proj_out, dtype)

    def enter(self, x: Tensor) -> Tensor:
        """[N, C, h, w] -> [N, HW, C]: norm and first projection."""
        y: Tensor = self.proj_in(layers.group_norm(self.norm, x).flatten(2).transpose(1, 2))
        return y

    def leave(self, y: Tensor, x: Tensor) -> Tensor:
        """[N, HW, C] -> [N, C, h, w]: feed-forward, last projection, and the residual ``x``."""
        y = y + layers.feed_forward(self.ff, layers.layer_norm(self.ff_norm, y))
        left: Tensor = x + self.proj_out(y).transpose(1, 2).reshape(x.shape)
        return left


def joined(attention: TemporalAttention, dtype: torch.dtype) -> nn.Linear:
    """W_k over W_v [2C, C] as one product."""
    weight = torch.cat((attention.to_k.weight, attention.to_v.weight)).detach()
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight = nn.Parameter(weight, requires_grad=False)
    return in_precision(layer, dtype)


def ring_positions(attention: TemporalAttention) -> Tensor:
    """W_k pe and W_v pe of the ring's positions 8 to 15, summed in float64: float32 [8, 2, C]."""
    to = (attention.to_k.weight, attention.to_v.weight)
    pe = sinusoid(to[0].shape[1])[SINKS : SINKS + RING].double()
    return torch.stack([pe @ weight.detach().double().T for weight in to], dim=1).float()


def wide_layer_norm(norm: nn.Module, x: Tensor) -> Tensor:
    """Layer normalisation [..., C] in float32."""
    assert isinstance(norm, nn.LayerNorm)
    assert norm.weight is not None
    assert norm.bias is not None
    return functional.layer_norm(
        x.float(), norm.normalized_shape, norm.weight.float(), norm.bias.float(), norm.eps
    )
