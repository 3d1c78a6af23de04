"""Prompts on the host's side: text to the tokens that a bundle's text encoders read.

The machine never needs this: it takes ``prompt_tokens`` as it takes any param. Tokenizing needs the package
``tokenizers``, which the extra ``prompt`` of v2v-runtime installs.

>>> stream.set_params(prompt_params(bundle, "a watercolour", negative="blurry"))
"""

from __future__ import annotations

from v2v_runtime.prompt.params import EMBEDS, POOLED, TOKENS, fill_rows, prompt_params, token_params
from v2v_runtime.prompt.tokenizer import TOKENIZER_FILE, CutPrompt, Encoded, Tokenizer

__all__ = [
    "EMBEDS",
    "POOLED",
    "TOKENIZER_FILE",
    "TOKENS",
    "CutPrompt",
    "Encoded",
    "Tokenizer",
    "fill_rows",
    "prompt_params",
    "token_params",
]
