"""Which files of a folder or repository in diffusers' layout a load reads: no others are fetched or counted.

A module's folder often holds its weights several times: in full and in half precision, with and without the
training's averaging (``non_ema``), under the names of another implementation. diffusers' own name for them is
``diffusion_pytorch_model.safetensors``, transformers' ``model.safetensors``. A variant's name stands before
the suffix; parts of one file have ``-00001-of-00002`` before or behind the variant.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

LORA = "pytorch_lora_weights.safetensors"
"""diffusers' own name for a LoRA's file."""

_TENSORS = ".safetensors"
_TEXT = (".json", ".txt", ".model")
_PIPELINE = "model_index.json"
_STANDARD = ("diffusion_pytorch_model", "model")
_HALF = ".fp16"
_PART = re.compile(r"-\d{5}-of-\d{5}", re.ASCII)


def read_files(files: Iterable[str], parts: Collection[str] = ()) -> list[str]:
    """Those of a folder's files that a load reads, in order: configurations, vocabularies and tensors.

    A pipeline often has the same weights once more in one file at its top: that is not read.

    Args:
        files: names below the folder, with ``/``.
        parts: the subfolders that are read beside the files at the top; none: all.
    """
    known = {name for name in files if _inside(name, parts)}
    read = [name for name in known if name.endswith(_TEXT)]
    tensors: dict[str, list[str]] = {}
    for name in known:
        folder, slash, own = name.rpartition("/")
        if own.endswith(_TENSORS) and (slash or _PIPELINE not in known):
            tensors.setdefault(folder + slash, []).append(own)
    for folder, names in tensors.items():
        read += [folder + name for name in read_tensors(names)]
    return sorted(read)


def read_tensors(names: Iterable[str]) -> list[str]:
    """Those of the safetensors beside each other that are their module's: one file, or the parts of one.

    Standard names count before others, a LoRA's after a network's, and half precision before full. Of several
    whole files of other names none: nothing tells which is meant, and they may be many.
    """
    given = sorted(names)
    half = [name for name in given if _bare(name).endswith(_HALF)]
    lora = [name for name in given if name == LORA]
    found = _standard(given, _HALF) or _standard(given, "") or lora or half or given
    return found if len(found) == 1 or all(map(_is_part, found)) else []


def in_full(taken: Collection[str], names: Iterable[str]) -> list[str]:
    """The full-precision form of ``taken`` among the files beside it; none where that is taken already."""
    bare = (_bare(name) for name in taken)
    full = {name.removesuffix(_HALF) for name in bare if name.endswith(_HALF)}
    return [name for name in sorted(names) if _bare(name) in full]


def _standard(names: Iterable[str], ending: str) -> list[str]:
    """The file that has diffusers' or transformers' own name for a network, or else its parts."""
    found = [name for name in names if _bare(name) in {f"{stem}{ending}" for stem in _STANDARD}]
    return [name for name in found if not _is_part(name)] or found


def _is_part(name: str) -> bool:
    return _PART.search(name) is not None


def _bare(name: str) -> str:
    """Without suffix and number: ``model.fp16`` of ``model-00001-of-00002.fp16.safetensors``."""
    return _PART.sub("", name.removesuffix(_TENSORS))


def _inside(name: str, parts: Collection[str]) -> bool:
    folder, slash, _ = name.partition("/")
    return not slash or not parts or folder in parts
