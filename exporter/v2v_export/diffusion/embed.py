"""Prompt embeddings from a bundle's text graph, without torch, or from a recipe's text encoders."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.backends.ort_module import import_onnxruntime
from v2v_runtime.bundle import Bundle
from v2v_runtime.manifest.model import BlobRef
from v2v_runtime.prompt import TOKENIZER_FILE, TOKENS, Tokenizer, fill_rows, prompt_params

from v2v_export.diffusion.prompt_errors import PromptError
from v2v_export.diffusion.prompting import TEXT

if TYPE_CHECKING:
    from v2v_export.recipe import Recipe

Embedded = dict[str, NDArray[np.float32]]
"""``prompt_embeds`` float32 [rows, 77, D] and, for SDXL, ``pooled_embeds`` [rows, P]."""


def embed_with_bundle(
    bundle: Bundle, prompt: str | None, negative: str | None = None, *, strict: bool = False
) -> Embedded:
    """Runs the bundle's text graph with ONNX Runtime on the CPU, in float32 where the bundle has that.

    Args:
        prompt, negative: None keeps the bundle's default.
        strict: see ``prompt_params``.

    Raises:
        PromptError: V2V-E6170: the bundle has no text graph.
        StreamError, BundleError: what ``prompt_params`` raises.
    """
    manifest = bundle.manifest
    if TEXT not in manifest.graphs or TOKENS[0] not in manifest.program.params:
        raise PromptError(
            "V2V-E6170",
            f"the bundle {manifest.name!r} has no text encoder",
            "a bundle that takes prompts as tokens",
            "give the recipe in place of the bundle: it names the text encoder's weights",
        )
    feeds = prompt_params(bundle, prompt, negative, strict=strict)
    variants = sorted(manifest.variants, key=lambda name: manifest.variants[name].float != "float32")
    session = import_onnxruntime().InferenceSession(
        str(bundle.graph_path(variants[0], TEXT)), providers=["CPUExecutionProvider"]
    )
    names = list(manifest.graphs[TEXT].outputs)
    made = session.run(names, feeds)
    return {name: np.asarray(value, np.float32) for name, value in zip(names, made, strict=True)}


def embed_with_recipe(
    recipe: Recipe, prompt: str | None, negative: str | None = None, *, strict: bool = False
) -> Embedded:
    """Runs the text encoders that the recipe names with torch in float32; nothing is built.

    The recipe's option ``prompt`` may be ``embeddings``, with a file of them among its weights or without:
    this is what makes them, and that file has no part in it.

    Raises:
        PromptError: V2V-E6170: the recipe's system takes no prompt.
        ModelError: weights, options or prompt do not fit.
        StreamError: V2V-E3083, E3085, as ``prompt_params``.
    """
    if not any(item.name == "prompt" for item in dataclasses.fields(recipe.options)):
        raise PromptError(
            "V2V-E6170",
            f"the system {recipe.system.name} takes no prompt",
            "a recipe of a system with the option prompt",
            "leave the prompt out",
        )
    import torch

    from v2v_export.system import GraphOptions

    options = dataclasses.replace(recipe.options, prompt="tokens")
    weights = {slot: value for slot, value in recipe.weights.items() if slot != "prompt"}
    model = recipe.system.load(weights, options, recipe.size)
    params, blobs = model.program().params, model.blobs()
    feeds = {name: _blob(blobs, params[name].default) for name in TOKENS if name in params}
    tokenizers = Tokenizer.from_tensors(blobs[TOKENIZER_FILE])
    fill_rows(feeds, tokenizers, prompt, negative, strict=strict)
    (text,) = (spec for spec in model.graphs(GraphOptions()) if spec.name == TEXT)
    with torch.no_grad():
        made = text.make()(*(torch.from_numpy(feeds[name]) for name in text.inputs))
    outputs = made if isinstance(made, tuple) else (made,)
    return {name: value.float().numpy() for name, value in zip(text.outputs, outputs, strict=True)}


def _blob(blobs: Mapping[str, Mapping[str, NDArray[Any]]], ref: BlobRef) -> NDArray[Any]:
    return np.array(blobs[ref.file][ref.tensor])
