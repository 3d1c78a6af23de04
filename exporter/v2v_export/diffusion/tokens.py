"""Tokenizers as bytes that a bundle carries, read the way transformers reads a checkpoint's own files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v2v_export.diffusion.byte_vocabulary import END, byte_vocabulary
from v2v_export.diffusion.prompt_errors import PromptError
from v2v_export.hub import HUB, snapshot
from v2v_export.weights import RANDOM

LENGTH = 77
"""Tokens that CLIP's text encoders read, start and end among them."""

PARTS = ("tokenizer", "tokenizer_2")
"""Subfolders of a pipeline's folder, one per text encoder."""

_RANDOM_PADS = (END, "!")
"""What SD's and SDXL's second tokenizer put after the end of a prompt."""

_FIX = (
    "give a whole pipeline's folder: as base, or as tokenizer beside a checkpoint in one file; or take "
    'prompt = "embeddings"'
)


def load_tokenizers(value: str, count: int = 1, fix: str = _FIX) -> dict[str, NDArray[np.uint8]]:
    """The tensors of a bundle's tokenizer file (see ``v2v_runtime.prompt.TOKENIZER_FILE``).

    Args:
        value: a pipeline's folder (or the tokenizer's own, where there is one), ``hub:OWNER/NAME``, or
            ``random:SEED``, whose vocabulary needs no file and is the same for every seed.
        count: how many text encoders there are.
        fix: what to do where there is none, as the system's slots have it.

    Raises:
        PromptError: V2V-E6164: files are missing or are no CLIP tokenizer's.
        RecipeError: a repository of the hub cannot be had.
    """
    if value.startswith(RANDOM):
        engines = [_random(pad) for pad in _RANDOM_PADS[:count]]
    else:
        root = snapshot(value, PARTS) if value.startswith(HUB) else Path(value)
        engines = [_read(_folder(root, part, count, fix)) for part in PARTS[:count]]
    tensors = {f"tokenizer_{i + 1}": _bytes(_definition(engine)) for i, engine in enumerate(engines)}
    return {**tensors, "config": _bytes(json.dumps([_config(engine) for engine in engines]))}


def _folder(root: Path, part: str, count: int, fix: str) -> Path:
    for folder in (root / part, *([root] if count == 1 else [])):
        if (folder / "tokenizer.json").is_file() or (folder / "vocab.json").is_file():
            return folder
    raise PromptError(
        "V2V-E6164",
        f"no tokenizer in {root.name or root}",
        f"{part}/ with vocab.json and merges.txt, or tokenizer.json",
        fix,
    )


def _read(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    try:
        return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise PromptError(
            "V2V-E6164",
            f"{folder.name}: {str(error).strip().splitlines()[0]}",
            "CLIP's vocab.json and merges.txt, or tokenizer.json",
            "fetch the tokenizer's files again",
        ) from error


def _random(pad: str) -> Any:
    from transformers import CLIPTokenizer

    vocab, merges = byte_vocabulary()
    return CLIPTokenizer(vocab=vocab, merges=merges, pad_token=pad)


def _definition(tokenizer: Any) -> str:
    """The whole pipeline as JSON; cutting and padding are the runtime's own."""
    engine = tokenizer.backend_tokenizer
    engine.no_truncation()
    engine.no_padding()
    text: str = engine.to_str()
    return text


def _config(tokenizer: Any) -> dict[str, int]:
    # Files that name no length have an absurdly large one.
    length = min(int(tokenizer.model_max_length), LENGTH)
    ids = {"start": tokenizer.bos_token_id, "end": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id}
    return {"length": length, **{name: int(value) for name, value in ids.items()}}


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode("utf-8"), np.uint8)
