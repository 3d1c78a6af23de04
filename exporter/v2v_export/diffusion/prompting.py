"""The prompt's part of a stream program: params, derived slots, and the calls that run when it changes.

With form ``tokens`` the params are token ids and the text encoders are a graph of the bundle; with form
``embeddings`` the params are what the text encoders gave elsewhere. Either way cross-attention's keys and
values are slots, made once per prompt and read every step::

    prompt_tokens[, prompt_tokens_2] -> text -> prompt_embeds[, pooled_embeds] -> cross_kv -> cross_k_00 ...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from v2v_runtime.manifest.model import BlobRef, Call, Changed, Const, Limits, Param, Slot, TensorSpec
from v2v_runtime.prompt.params import EMBEDS, POOLED, TOKENS

PROMPT_FILE = "blobs/prompt.safetensors"
"""The params' defaults and ``time_ids``."""

TEXT, CROSS_KV = "text", "cross_kv"
"""The graphs, and the calls of the same names."""

TIME_IDS = "time_ids"

Form = Literal["tokens", "embeddings"]


@dataclass(frozen=True)
class PromptShape:
    """Sizes of everything that a prompt becomes.

    Attributes:
        rows: prompts: 1, or 2 (the negative prompt, then the prompt).
        length: tokens of a prompt (77).
        width: of the embeddings.
        cross: ports of the network that the prompt feeds: ``cross_k_00`` ..., then ``added`` for SDXL.
        pooled: width of the pooled embedding; 0 where the network takes none.
        vocabularies: how many tokens each text encoder knows; it has tokens of its own. Empty without any.
    """

    rows: int
    length: int
    width: int
    cross: Mapping[str, TensorSpec]
    pooled: int = 0
    vocabularies: tuple[int, ...] = ()

    def tokens(self) -> dict[str, TensorSpec]:
        """Param -> type and shape of the tokens."""
        names = TOKENS[: len(self.vocabularies)]
        return {name: TensorSpec("int64", (self.rows, self.length)) for name in names}

    def limits(self) -> dict[str, Limits]:
        """Param -> the tokens that its text encoder knows."""
        return {
            name: Limits(0, size - 1) for name, size in zip(self.tokens(), self.vocabularies, strict=True)
        }

    def embeddings(self) -> dict[str, TensorSpec]:
        """Name -> type and shape of what the text encoders give."""
        specs = {EMBEDS: TensorSpec("float", (self.rows, self.length, self.width))}
        if self.pooled:
            specs[POOLED] = TensorSpec("float", (self.rows, self.pooled))
        return specs

    def consts(self) -> dict[str, TensorSpec]:
        """``time_ids`` float32 [rows, 6], where the network takes a pooled embedding: sizes in pixels, which
        half precision would round above 2048."""
        return {TIME_IDS: TensorSpec("float32", (self.rows, 6))} if self.pooled else {}


@dataclass(frozen=True)
class PromptPieces:
    """What goes into a ``Program``.

    Attributes:
        calls: first in every phase that reads what they derive.
        cross: the names that the network's ports of the same names are bound to, in the ports' order.
    """

    params: Mapping[str, Param]
    slots: Mapping[str, Slot]
    calls: tuple[Call, ...]
    cross: Mapping[str, TensorSpec]
    consts: Mapping[str, Const] = field(default_factory=dict)


def prompt_pieces(form: Form, shape: PromptShape) -> PromptPieces:
    """The pieces of one stream."""
    embeddings, tokens = shape.embeddings(), shape.tokens()
    params = tokens if form == "tokens" else embeddings
    derived = {**(embeddings if form == "tokens" else {}), **shape.cross}
    changed = Changed(tuple(params))
    text = Call(TEXT, TEXT, {port: port for port in tokens}, {port: port for port in embeddings}, changed)
    cross = Call(
        CROSS_KV,
        CROSS_KV,
        {port: port for port in (*embeddings, *shape.consts())},
        {**{port: port for port in shape.cross}, "ok": None},
        changed,
        check=("ok",),
    )
    return PromptPieces(
        params={
            name: Param(spec.dtype, spec.shape, _blob(name), shape.limits().get(name))
            for name, spec in params.items()
        },
        slots={name: Slot(spec.dtype, spec.shape) for name, spec in derived.items()},
        calls=(text, cross) if form == "tokens" else (cross,),
        cross=shape.cross,
        consts={name: Const(spec.dtype, spec.shape, _blob(name)) for name, spec in shape.consts().items()},
    )


def _blob(name: str) -> BlobRef:
    return BlobRef(PROMPT_FILE, name)
