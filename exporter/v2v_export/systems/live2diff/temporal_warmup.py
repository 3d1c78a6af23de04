"""One temporal module over the eight warm-up frames of one row: full attention among them, positions 0 to 7.

It also gives the row of the sinks: keys and values with their positions, as later steps read them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from v2v_export.diffusion import layers
from v2v_export.diffusion.precision import in_precision
from v2v_export.export.finite import nan_unless_finite
from v2v_export.systems.live2diff.temporal import TemporalAttention, TemporalTransformer, sinusoid
from v2v_export.systems.live2diff.temporal_state import HEADS, SINKS
from v2v_export.systems.live2diff.temporal_step import Shell, joined, wide_layer_norm


class WarmupAttention(nn.Module):
    """Attention of eight frames among each other, at every position; see ``StepAttention``."""

    pe: Tensor

    def __init__(self, attention: TemporalAttention, dtype: torch.dtype, *, wide: bool = False) -> None:
        super().__init__()
        self.to_q = in_precision(attention.to_q, dtype)
        self.to_out = in_precision(attention.to_out[0], dtype)
        self.to_kv = joined(attention, dtype)
        self.wide = wide
        self.register_buffer("pe", sinusoid(attention.to_q.weight.shape[1])[:SINKS, None])

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """y float32 [8, HW, C], normed -> (result [8, HW, C], sinks [1, 8, HW, 2, heads, d])."""
        frames, places, channels = y.shape
        x = (y + self.pe).to(self.to_q.weight.dtype)
        head = (HEADS, channels // HEADS)
        both = self.to_kv(x).reshape(frames, places, 2, *head)
        q, k, v = (
            item.permute(1, 2, 0, 3)
            for item in (self.to_q(x).reshape(frames, places, *head), *both.unbind(2))
        )
        mixed = layers.attend(q, k, v, wide=self.wide).permute(2, 0, 1, 3).reshape(y.shape)
        return self.to_out(mixed), both[None]


class WarmupModule(nn.Module):
    """A whole module: x [8, C, h, w] -> (x, the sinks of its two attentions)."""

    def __init__(self, transformer: TemporalTransformer, dtype: torch.dtype, *, wide: bool = False) -> None:
        super().__init__()
        self.shell = Shell(transformer, dtype)
        attentions = transformer.block().attentions()
        self.attentions = nn.ModuleList([WarmupAttention(item, dtype, wide=wide) for item in attentions])

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        y = self.shell.enter(x)
        sinks = []
        for attention, norm in zip(self.attentions, self.shell.norms, strict=True):
            mixed, entry = attention(wide_layer_norm(norm, y))
            # A key that is no number may take no part here, and would in every step of the stream. Summed up
            # beside the graph's ok, all sinks would be kept until then: 663 MB more of an engine's scratch.
            y = y + (mixed + nan_unless_finite(entry))
            sinks.append(entry)
        return self.shell.leave(y, x), sinks
