"""CLIP text encoders as graphs of their own: tokens in, prompt embeddings out, run when the prompt changes.

Weights stay in transformers' modules; the walk here is what their ``forward`` computes, without its mask
machinery: the causal mask is a finite number that softmax turns into exactly zero, the softmax is a float32
island, and the end of the prompt is found in the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from v2v_export.diffusion.layers import join_heads, layer_norm, split_heads
from v2v_export.diffusion.precision import in_precision
from v2v_export.diffusion.prompt_errors import PromptError

_MASKED = -1e4
"""Added to the scores of later tokens: far below any score, and finite where float16 is all there is."""


class ClipText(nn.Module):
    """tokens int64 [rows, 77] -> embeddings [rows, 77, D], as SD1.5 and SD2.1 take them.

    Args:
        encoder: transformers' ``CLIPTextModel`` or ``CLIPTextModelWithProjection``.
        dtype: of weights and results.
        clip_skip: layers left out at the end: 0 takes the last layer's output, k the one k layers before
            (``hidden_states[-(k + 1)]``). The final norm follows in either case. ``check_clip_skip`` says
            which values leave a layer.

    Raises:
        PromptError: V2V-E6161: an activation that is not CLIP's.
    """

    def __init__(self, encoder: nn.Module, dtype: torch.dtype = torch.float32, clip_skip: int = 0) -> None:
        super().__init__()
        self.trunk = _Trunk(encoder, dtype, clip_skip)
        self.norm = in_precision(_text_model(encoder).final_layer_norm, dtype)

    def forward(self, tokens: Tensor) -> Tensor:
        return layer_norm(self.norm, self.trunk(tokens)[0])


class TwoClipText(nn.Module):
    """Both encoders' tokens int64 [rows, 77] -> embeddings [rows, 77, D1 + D2], pooled [rows, P], for SDXL.

    The embeddings are both encoders' hidden states before the last layer, side by side and without norm; the
    pooled one is the second encoder's projected state at the end of the prompt.

    Args:
        first, second: ``CLIPTextModel`` and ``CLIPTextModelWithProjection``.
        clip_skip: further layers left out of the embeddings: 0 is ``hidden_states[-2]``.

    Raises:
        PromptError: V2V-E6161 as ``ClipText``; V2V-E6162: the second encoder projects nothing.
    """

    def __init__(
        self, first: nn.Module, second: nn.Module, dtype: torch.dtype = torch.float32, clip_skip: int = 0
    ) -> None:
        super().__init__()
        projection = getattr(second, "text_projection", None)
        if not isinstance(projection, nn.Linear):
            raise PromptError(
                "V2V-E6162",
                f"the second text encoder is a {type(second).__name__}",
                "a CLIPTextModelWithProjection, which makes SDXL's pooled embedding",
                "give SDXL's text_encoder_2",
            )
        self.first = _Trunk(first, dtype, clip_skip + 1)
        self.second = _Trunk(second, dtype, clip_skip + 1, keep_all=True)
        self.norm = in_precision(_text_model(second).final_layer_norm, dtype)
        self.project = in_precision(projection, dtype)

    def forward(self, tokens: Tensor, tokens_2: Tensor) -> tuple[Tensor, Tensor]:
        states, _ = self.first(tokens)
        more, last = self.second(tokens_2)
        # A product with one 1 per row: the state at the end, without an index that engines gather by.
        at_end = _at_end(tokens_2, self.second.end_token).to(last.dtype)[:, None]
        pooled = torch.matmul(at_end, layer_norm(self.norm, last))[:, 0]
        return torch.cat((states, more), dim=-1), self.project(pooled)


class _Trunk(nn.Module):
    """tokens -> (states after the layers that are kept, states after the last layer that runs)."""

    def __init__(self, encoder: nn.Module, dtype: torch.dtype, skip: int, keep_all: bool = False) -> None:
        super().__init__()
        source = _text_model(encoder)
        config = source.config
        layers = list(source.encoder.layers)
        self.kept = len(layers) - skip
        self.layers = in_precision(nn.ModuleList(layers if keep_all else layers[: self.kept]), dtype)
        self.token_embedding = in_precision(source.embeddings.token_embedding, dtype)
        self.position_embedding = in_precision(source.embeddings.position_embedding, dtype)
        self.heads: int = config.num_attention_heads
        self.act = _activation(config.hidden_act)
        self.vocabulary: int = config.vocab_size
        self.end_token = end_token(config)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        # The runtime refuses ids that the vocabulary lacks: the param's limits say which there are. A player
        # that checks none must still not read what lies behind the table.
        tokens = tokens.clamp(0, self.vocabulary - 1)
        length = tokens.shape[1]
        x = self.token_embedding(tokens) + self.position_embedding.weight[:length]
        mask = torch.full((length, length), _MASKED).triu(1)
        kept = x
        for index, layer in enumerate(self.layers):
            x = self._layer(layer, x, mask)
            if index + 1 == self.kept:
                kept = x
        return kept, x

    def _layer(self, layer: Any, x: Tensor, mask: Tensor) -> Tensor:
        """transformers' ``CLIPEncoderLayer`` [rows, L, D]."""
        attention, y = layer.self_attn, layer_norm(layer.layer_norm1, x)
        q, k, v = (
            split_heads(to(y), self.heads) for to in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        scores = torch.matmul((q * q.shape[-1] ** -0.5).float(), k.float().transpose(-1, -2)) + mask
        shares = scores.softmax(-1).to(v.dtype)
        x = x + attention.out_proj(join_heads(torch.matmul(shares, v)))
        y = layer.mlp.fc1(layer_norm(layer.layer_norm2, x))
        y = functional.gelu(y) if self.act == "gelu" else y * torch.sigmoid(1.702 * y)
        result: Tensor = x + layer.mlp.fc2(y)
        return result


def check_clip_skip(clip_skip: int, layers: Sequence[int]) -> None:
    """Raise for a ``clip_skip`` that leaves one of the text encoders no layer.

    Args:
        layers: of each text encoder: one, or SDXL's two, which leave out their last layer anyway.

    Raises:
        PromptError: V2V-E6160.
    """
    most = min(layers) - len(layers)
    if 0 <= clip_skip <= most:
        return
    held = f"a text encoder of {layers[0]} layers"
    if len(layers) > 1:
        held = (
            f"text encoders of {' and '.join(map(str, layers))} layers, whose last ones are left out anyway"
        )
    raise PromptError(
        "V2V-E6160",
        f"clip_skip = {clip_skip} for {held}",
        f"0 to {most} further layers left out" if len(layers) > 1 else f"0 to {most} layers left out",
        "set clip_skip = 0" + (" or 1, the usual ones" if most else ""),
    )


def end_token(config: Any) -> int:
    """The id that ends a prompt. Early configs say 2 and mean the vocabulary's last, as in transformers."""
    named: int = config.eos_token_id
    last: int = config.vocab_size - 1
    return last if named == 2 else named


def _at_end(tokens: Tensor, end: int) -> Tensor:
    """Which position holds the first end token: bool [rows, L]; the last one in a row without any."""
    position = torch.arange(tokens.shape[1])
    last = tokens.shape[1] - 1
    first = torch.where(tokens == end, position, last).min(dim=1, keepdim=True).values
    return position == first


def _text_model(encoder: Any) -> Any:
    """The encoder under ``text_model``, where a projection stands beside it."""
    return getattr(encoder, "text_model", encoder)


def _activation(name: str) -> str:
    if name not in ("gelu", "quick_gelu"):
        raise PromptError(
            "V2V-E6161",
            f'a text encoder with activation "{name}"',
            '"quick_gelu" (CLIP) or "gelu" (OpenCLIP)',
            "take a CLIP text encoder",
        )
    return name
