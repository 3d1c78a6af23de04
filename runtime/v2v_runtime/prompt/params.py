"""The params of a program that takes prompts, and their values from text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import StreamError
from v2v_runtime.prompt.tokenizer import Tokenizer

TOKENS = ("prompt_tokens", "prompt_tokens_2")
"""Params that take tokens, int64 [rows, length], one per text encoder."""

EMBEDS, POOLED = "prompt_embeds", "pooled_embeds"
"""Params (or slots, where the text encoder makes them) that hold embeddings: float [rows, length, width], and
[rows, width] where the network takes a pooled one."""


def prompt_params(
    bundle: Bundle, prompt: str | None = None, negative: str | None = None, *, strict: bool = False
) -> dict[str, NDArray[np.int64]]:
    """Values for ``Stream.set_params`` that make the bundle's stream follow a prompt.

    A program has one row for the prompt, or two: the negative prompt, then the prompt. What is None keeps the
    bundle's default.

    Args:
        strict: refuse a prompt that is too long, in place of cutting it with a ``CutPrompt`` warning.

    Raises:
        StreamError: the bundle takes no prompts as tokens (V2V-E3084), or no negative one (V2V-E3085); a
            prompt that is no text (V2V-E3086); and what ``Tokenizer`` raises (V2V-E3080 to E3083).
        BundleError: a file of the bundle is damaged.
    """
    declared = bundle.manifest.program.params
    names = [name for name in TOKENS if name in declared]
    if not names:
        embeds = EMBEDS in declared
        raise StreamError(
            "V2V-E3084",
            f"the bundle {bundle.manifest.name!r} takes no text",
            "a bundle with the param prompt_tokens",
            "make embeddings with `v2v-export prompt` and set prompt_embeds to them"
            if embeds
            else "play it without a prompt",
        )
    values = {name: np.array(bundle.blob(declared[name].default)) for name in names}
    fill_rows(values, Tokenizer.from_bundle(bundle), prompt, negative, strict=strict)
    return values


def fill_rows(
    values: Mapping[str, NDArray[np.int64]],
    tokenizers: Sequence[Tokenizer],
    prompt: str | None,
    negative: str | None,
    *,
    strict: bool = False,
) -> None:
    """Writes a prompt's ids into the rows of token params; the rows of what is None stay.

    Args:
        values: param -> int64 [rows, length], in the order of the tokenizers.

    Raises:
        StreamError: V2V-E3083, E3085, E3086, as ``prompt_params``.
    """
    for text in (prompt, negative):
        if not (text is None or isinstance(text, str)):
            raise StreamError(
                "V2V-E3086",
                f"a prompt of type {type(text).__name__}",
                "one text (str)",
                "give the prompt's words; tokens made elsewhere are set as prompt_tokens",
            )
    for array, tokenizer in zip(values.values(), tokenizers, strict=True):
        if negative is not None and len(array) < 2:
            raise StreamError(
                "V2V-E3085",
                "a negative prompt",
                "none: this stream was built without guidance by one",
                "leave it out, or build the bundle with such guidance",
            )
        for row, text in ((0, negative), (len(array) - 1, prompt)):
            if text is not None:
                array[row] = tokenizer.encode(text, strict).ids


def token_params(
    tokenizers: Sequence[Tokenizer], texts: Sequence[str], *, strict: bool = False
) -> dict[str, NDArray[np.int64]]:
    """``prompt_tokens`` and, with a second tokenizer, ``prompt_tokens_2``; a row for each text.

    Raises:
        StreamError: V2V-E3083: too long, and ``strict``.
    """
    return {name: tokenizer.rows(texts, strict) for name, tokenizer in zip(TOKENS, tokenizers, strict=False)}
