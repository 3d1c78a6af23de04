"""A stream's prompt from its weights to its program: text encoders, tokenizers, defaults, graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from v2v_runtime.blobs import read_safetensors
from v2v_runtime.errors import BundleError, StreamError
from v2v_runtime.manifest.model import TensorSpec
from v2v_runtime.prompt import TOKENIZER_FILE, Tokenizer, token_params
from v2v_runtime.prompt.params import EMBEDS, POOLED

from v2v_export.diffusion.configs import Architecture, build
from v2v_export.diffusion.configs import parameters as count_parameters
from v2v_export.diffusion.precision import recast
from v2v_export.diffusion.prompt_errors import PromptError
from v2v_export.diffusion.prompting import (
    CROSS_KV,
    PROMPT_FILE,
    TEXT,
    TIME_IDS,
    Form,
    PromptPieces,
    PromptShape,
    prompt_pieces,
)
from v2v_export.diffusion.stream_modules import PromptKV
from v2v_export.diffusion.text import ClipText, TwoClipText, check_clip_skip
from v2v_export.diffusion.tokens import LENGTH
from v2v_export.diffusion.unet import cross_layers, cross_specs, walk_cross_attention
from v2v_export.system import GraphOptions, GraphSpec

Blobs = Mapping[str, NDArray[Any]]


class Network(Protocol):
    """A network that is read when it is needed (``sources.ModuleSource`` is one)."""

    @property
    def architecture(self) -> Architecture: ...

    def load(self, keep: Callable[[str], bool] | None = None) -> nn.Module: ...


@dataclass(frozen=True)
class Embeddings:
    """What the text encoders give for the rows' prompts.

    Attributes:
        embeds: float32 [rows, 77, D].
        pooled: float32 [rows, P], where the network takes one.
    """

    embeds: Tensor
    pooled: Tensor | None = None

    def named(self) -> dict[str, Tensor]:
        """By the names of params and slots."""
        return {EMBEDS: self.embeds, **({} if self.pooled is None else {POOLED: self.pooled})}


class Conditioning:
    """See the module's docstring. Nothing is read before it is asked for.

    Args:
        form: what the params hold, see ``prompting``.
        texts: the default prompts: ``(prompt,)`` or ``(negative, prompt)``; one row each.
        unet: the network with every LoRA fused: its cross-attention makes keys and values.
        encoders: one CLIP text encoder, or SDXL's two. Without any, ``embeddings`` must be given.
        tokenizer: from ``tokens.load_tokenizers``, one tokenizer per encoder.
        clip_skip: see ``text``; without encoders it has no effect.
        pick: the prompt row of each row of keys and values; None: one each, in order.
        time_ids: SDXL's size conditioning, float32 [rows, 6].
        embeddings: a file that ``v2v-export prompt`` wrote, for form ``embeddings``.

    Raises:
        PromptError: a clip_skip that leaves no layer (V2V-E6160), encoders and network do not fit (V2V-E6162,
            E6163), or there is nothing to take the first prompt from (V2V-E6169).
    """

    def __init__(
        self,
        *,
        form: Form,
        texts: Sequence[str],
        unet: Network,
        encoders: Sequence[Network] = (),
        tokenizer: Blobs | None = None,
        clip_skip: int = 0,
        pick: Sequence[int] | None = None,
        time_ids: NDArray[np.float32] | None = None,
        embeddings: str | None = None,
    ) -> None:
        self.form, self.texts, self.pick = form, tuple(texts), pick
        self.unet, self.encoders, self.tokenizer = unet, tuple(encoders), tokenizer
        self.clip_skip, self.time_ids, self._file = clip_skip, time_ids, embeddings
        if form == "tokens" or embeddings is None:
            self._require_encoders()
        if self.encoders:
            self._check_encoders()

    @cached_property
    def shape(self) -> PromptShape:
        """The sizes, from the configurations alone."""
        config = self.unet.architecture.config
        rows = len(self.texts)
        made = len(self.pick) if self.pick is not None else rows
        cross = cross_specs(cross_layers(build(self.unet.architecture)), made)
        pooled = 0
        if config.get("addition_embed_type") == "text_time":
            pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
            cross = {**cross, "added": TensorSpec("float", (made, 4 * config["block_out_channels"][0]))}
        known = tuple(item.architecture.config["vocab_size"] for item in self.encoders)
        return PromptShape(rows, LENGTH, config["cross_attention_dim"], cross, pooled, known)

    def pieces(self) -> PromptPieces:
        """Params, slots, calls and consts of the program."""
        return prompt_pieces(self.form, self.shape)

    def blobs(self) -> dict[str, Blobs]:
        """The params' defaults, and the tokenizer where tokens are taken.

        Raises:
            PromptError: a default prompt is too long (V2V-E6166), or the file of embeddings does not fit
                (V2V-E6168).
        """
        consts: Blobs = {} if self.time_ids is None else {TIME_IDS: self.time_ids.astype(np.float32)}
        if self.form == "tokens":
            assert self.tokenizer is not None
            return {PROMPT_FILE: {**self.tokens(), **consts}, TOKENIZER_FILE: self.tokenizer}
        defaults = {name: value.numpy() for name, value in self.literal().named().items()}
        return {PROMPT_FILE: {**defaults, **consts}}

    def tokens(self) -> dict[str, NDArray[np.int64]]:
        """The default prompts' tokens by param, int64 [rows, 77] each."""
        assert self.tokenizer is not None
        tokenizers = Tokenizer.from_tensors(self.tokenizer)
        try:
            return token_params(tokenizers, self.texts, strict=True)
        except StreamError as error:
            raise PromptError("V2V-E6166", error.seen, error.expected, error.fix) from error

    def graphs(self, options: GraphOptions) -> list[GraphSpec]:
        """The graphs of the pieces' calls, in their order."""
        shape, dtype = self.shape, options.dtype
        embeddings, consts = shape.embeddings(), shape.consts()
        cross = GraphSpec(
            CROSS_KV,
            lambda: PromptKV(self.unet.load(_makes_prompt), dtype, self.pick),
            {**embeddings, **consts},
            {**shape.cross, "ok": TensorSpec("bool", (1,))},
            example={name: torch.from_numpy(self.time_ids) for name in consts if self.time_ids is not None},
        )
        if self.form == "embeddings":
            return [cross]
        examples = {name: torch.from_numpy(value) for name, value in self.tokens().items()}
        text = GraphSpec(TEXT, lambda: self._encoder(dtype), shape.tokens(), embeddings, example=examples)
        return [text, cross]

    def weight_counts(self) -> dict[str, int]:
        """Numbers that each graph holds, from the configurations alone."""
        unet: Any = build(self.unet.architecture)
        projections = [to for _, item in walk_cross_attention(unet) for to in (item.to_k, item.to_v)]
        more = [unet.add_embedding] if self.shape.pooled else []
        cross = sum(item.numel() for module in (*projections, *more) for item in module.parameters())
        if self.form == "embeddings":
            return {CROSS_KV: cross}
        return {TEXT: sum(count_parameters(item.architecture) for item in self.encoders), CROSS_KV: cross}

    @torch.no_grad()
    def literal(self) -> Embeddings:
        """The default prompts' embeddings by transformers' own ``forward`` in float32, or the file's."""
        if self.form == "embeddings" and self._file is not None:
            return self._read(self._file)
        tokens = [torch.from_numpy(rows) for rows in self.tokens().values()]
        states, last = [], None
        for encoder, ids in zip(self.encoders, tokens, strict=True):
            module: Any = recast(encoder.load(), torch.float32)
            last = module(ids, output_hidden_states=True)
            states.append(last.hidden_states[-(self.clip_skip + len(self.encoders))])
        if len(states) == 2:
            assert last is not None
            return Embeddings(torch.cat(states, dim=-1), last.text_embeds)
        text = getattr(module, "text_model", module)
        return Embeddings(text.final_layer_norm(states[0]))

    @torch.no_grad()
    def literal_slots(self, unet: Any, embeddings: Embeddings) -> dict[str, NDArray[np.float32]]:
        """What each slot must hold: by diffusers' own projections and time embedding.

        Args:
            unet: diffusers' ``UNet2DConditionModel`` in float32.
        """
        picked = {
            name: value if self.pick is None else value[list(self.pick)]
            for name, value in embeddings.named().items()
        }
        rows = len(picked[EMBEDS])
        made: dict[str, Tensor] = dict(embeddings.named()) if self.form == "tokens" else {}
        ports = iter(self.shape.cross)
        for _, attention in walk_cross_attention(unet):
            for project in (attention.to_k, attention.to_v):
                heads = project(picked[EMBEDS]).view(rows, LENGTH, attention.heads, -1)
                made[next(ports)] = heads.transpose(1, 2)
        if self.shape.pooled:
            assert self.time_ids is not None
            ids = torch.from_numpy(self.time_ids)[: len(self.texts)]
            ids = ids if self.pick is None else ids[list(self.pick)]
            sizes = unet.add_time_proj(ids.flatten()).reshape(rows, -1)
            made[next(ports)] = unet.add_embedding(torch.cat((picked[POOLED], sizes), dim=-1))
        return {name: value.contiguous().numpy() for name, value in made.items()}

    def _encoder(self, dtype: torch.dtype) -> nn.Module:
        modules = [encoder.load() for encoder in self.encoders]
        if len(modules) == 2:
            return TwoClipText(modules[0], modules[1], dtype, self.clip_skip)
        return ClipText(modules[0], dtype, self.clip_skip)

    def _require_encoders(self) -> None:
        if self.encoders and self.tokenizer is not None:
            return
        missing = "text encoder" if not self.encoders else "tokenizer"
        raise PromptError(
            "V2V-E6169",
            f"no {missing} to read the first prompt with",
            "a pipeline's folder with text_encoder/ and tokenizer/",
            'give one; or take prompt = "embeddings" with a file that `v2v-export prompt` wrote',
        )

    def _check_encoders(self) -> None:
        architectures = [encoder.architecture for encoder in self.encoders]
        names = " and ".join(item.name for item in architectures)
        shape = self.shape
        wanted = 2 if shape.pooled else 1
        if len(architectures) != wanted:
            raise PromptError(
                "V2V-E6162",
                f"{len(architectures)} text encoders ({names})",
                f"{wanted} for the network {self.unet.architecture.name}",
                "SDXL has two, SD1.5 and SD2.1 have one",
            )
        width = sum(item.config["hidden_size"] for item in architectures)
        projected = architectures[-1].config["projection_dim"] if shape.pooled else 0
        if width != shape.width or projected != shape.pooled:
            raise PromptError(
                "V2V-E6163",
                f"text encoders {names}, {width} wide" + (f", pooled {projected}" if projected else ""),
                f"{shape.width}"
                + (f", pooled {shape.pooled}" if shape.pooled else "")
                + f" for the network {self.unet.architecture.name}",
                "take network and text encoders from one checkpoint",
            )
        check_clip_skip(self.clip_skip, [item.config["num_hidden_layers"] for item in architectures])

    def _read(self, file: str) -> Embeddings:
        try:
            tensors = read_safetensors(file)
        except BundleError as error:
            raise PromptError("V2V-E6168", error.seen, error.expected, error.fix) from error
        wanted = self.shape.embeddings()
        found = {name: list(value.shape) for name, value in tensors.items()}
        expected = {name: list(spec.shape) for name, spec in wanted.items()}
        if found != expected or any(value.dtype.kind != "f" for value in tensors.values()):
            raise PromptError(
                "V2V-E6168",
                f"{Path(file).name} holds {found}",
                f"{expected}",
                "write it with `v2v-export prompt` from a recipe of the same network",
            )
        with np.errstate(over="ignore"):  # told below
            values = {name: value.astype(np.float32) for name, value in tensors.items()}
        broken = [name for name, value in values.items() if not np.isfinite(value).all()]
        if broken:
            raise PromptError(
                "V2V-E6168",
                f"{Path(file).name} holds numbers that are not finite in float32: {', '.join(broken)}",
                "finite numbers in float32",
                "write it again with `v2v-export prompt` from a recipe of the same network",
            )
        made = {name: torch.from_numpy(value) for name, value in values.items()}
        return Embeddings(made[EMBEDS], made.get(POOLED))


def _makes_prompt(name: str) -> bool:
    """Which of a UNet's tensors the graph ``cross_kv`` reads: a hundredth of them."""
    return ".attn2.to_k." in name or ".attn2.to_v." in name or name.startswith("add_embedding.")
