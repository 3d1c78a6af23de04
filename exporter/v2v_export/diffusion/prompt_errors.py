"""Errors of prompts and text encoders (codes V2V-E6160 to V2V-E6171).

=========  ==================================================================
V2V-E6160  a clip_skip that leaves no layer
V2V-E6161  a text encoder that is not CLIP's
V2V-E6162  a text encoder where another kind is needed
V2V-E6163  text encoders whose width the UNet does not take
V2V-E6164  a tokenizer's files are missing or cannot be read
V2V-E6166  a prompt that is longer than the encoder reads
V2V-E6168  a file of prompt embeddings that cannot be read or does not fit
V2V-E6169  neither text encoder nor embeddings to take the first prompt from
V2V-E6170  a bundle or recipe without a text encoder
V2V-E6171  a similarity filter's threshold or limit out of range
=========  ==================================================================
"""

from __future__ import annotations

from v2v_export.errors import ModelError


class PromptError(ModelError):
    """A prompt, its tokenizer or its encoder does not fit (E6160 to E6170)."""


class FilterError(ModelError):
    """A similarity filter that would skip everything or nothing (E6171)."""
