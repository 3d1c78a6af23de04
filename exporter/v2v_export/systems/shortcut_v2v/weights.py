"""Weights of the teacher and of the block: published checkpoints by their own key names, or random ones.

A weights specification is a path (``.safetensors``, or a legacy ``.pth`` / ``.pt`` state dict, which is read
without unpickling objects) or ``random:SEED``. Sizes are read from the tensors' shapes, so a checkpoint of
any width loads without being told which.

Keys are treated as the published loaders do: a leading ``module.`` is stripped, a key that contains
``decoder`` is skipped, then everything must match, except that the block's checkpoints hold one convolution
that is never used.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from v2v_export.systems.shortcut_v2v.block import ShortcutBlock
from v2v_export.systems.shortcut_v2v.errors import WeightsError
from v2v_export.systems.shortcut_v2v.model import ResnetGenerator
from v2v_export.systems.shortcut_v2v.random_weights import random_block, random_teacher

DEAD_BLOCK_KEYS = frozenset({"global_deform_conv.offset_conv.weight", "global_deform_conv.offset_conv.bias"})
"""In every published block, used by nothing: the global offsets come from another module."""

_M = TypeVar("_M", bound=nn.Module)
_SHOWN = 6
_RANDOM = re.compile(r"random:([0-9]{1,19})")


def load_teacher(spec: str | Path, *, ngf: int = 64, n_blocks: int = 6) -> ResnetGenerator:
    """The teacher of a weights specification, in eval mode, float32.

    Args:
        spec: path or ``random:SEED``.
        ngf, n_blocks: the size of a random teacher; a file's tensors tell their own.

    Raises:
        WeightsError: V2V-E6001 to V2V-E6006.
    """
    seed = random_seed(spec)
    if seed is not None:
        return random_teacher(seed, ngf, n_blocks).eval()
    return teacher_from_tensors(read_tensors(Path(spec)), str(spec))


def load_block(spec: str | Path, *, feat_ch: int = 128, h: int = 64) -> ShortcutBlock:
    """The shortcut block of a weights specification, in eval mode, float32.

    Args:
        spec: path or ``random:SEED``.
        feat_ch, h: the size of a random block; a file's tensors tell their own.

    Raises:
        WeightsError: V2V-E6001 to V2V-E6006.
        GeometryError: V2V-E6012, channel counts that are no multiples of 4.
    """
    seed = random_seed(spec)
    if seed is not None:
        return random_block(seed, feat_ch, h).eval()
    return block_from_tensors(read_tensors(Path(spec)), str(spec))


def random_seed(spec: str | Path) -> int | None:
    """The seed of ``random:SEED``; None for a path.

    Raises:
        WeightsError: V2V-E6006, ``random:`` followed by something else than a seed.
    """
    if not isinstance(spec, str) or not spec.startswith("random:"):
        return None
    match = _RANDOM.fullmatch(spec)
    if match is None or int(match[1]) >= 1 << 63:
        raise WeightsError(
            "V2V-E6006",
            f'weights "{spec[:40]}"',
            "random:SEED, a seed from 0 to 2^63 - 1",
            "write random:0, say",
        )
    return int(match[1])


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Name -> tensor of a safetensors file or a legacy state dict, names as they stand in the file.

    Raises:
        WeightsError: V2V-E6004, no such file, truncated, or holding anything but tensors.
    """
    if not path.is_file():
        raise WeightsError("V2V-E6004", f"weights file {path}", "a file", "check the path in the recipe")
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise WeightsError(
            "V2V-E6004",
            f"weights file {path}",
            "a name that ends in .safetensors, .pth or .pt",
            "convert it to safetensors",
        )
    try:
        if path.suffix == ".safetensors":
            content: object = load_file(path)
        else:
            # weights_only: tensors and plain containers; torch refuses a file that would run code.
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise _unreadable(path, error) from error
    if not isinstance(content, Mapping) or not all(isinstance(item, Tensor) for item in content.values()):
        raise WeightsError(
            "V2V-E6004",
            f"{path} holds a {type(content).__name__} that is not a plain state dict",
            "names and tensors, nothing else",
            "save the module's state_dict() alone, as safetensors",
        )
    return {str(key): item for key, item in content.items()}


def teacher_from_tensors(tensors: Mapping[str, Tensor], origin: str = "teacher weights") -> ResnetGenerator:
    """The teacher, RGB to RGB, that these tensors (published key names) belong to.

    ``origin`` names them in errors.

    Raises:
        WeightsError: V2V-E6001 to V2V-E6003, V2V-E6005; V2V-E6003 also for other channels than RGB.
    """
    named = _published(tensors, origin)
    ngf = _size(named, origin, "a teacher", [("model.1.weight", 0), ("model.4.weight", 1)])
    blocks = {int(match[1]) for key in named if (match := re.match(r"model\.(\d+)\.conv_block\.", key))}
    n_blocks = max(blocks, default=0) - 9
    if not 1 <= n_blocks <= len(named):
        raise _alien(named, origin, "a teacher", "model.10.conv_block.1.weight")
    # RGB to RGB, as a stream's frames are: other channels are wrong shapes.
    # On the meta device first: a wrong shape must not cost the memory of what it asks for.
    with torch.device("meta"):
        teacher = ResnetGenerator(ngf, n_blocks)
    return load_strictly(teacher, named, origin).eval()


def block_from_tensors(tensors: Mapping[str, Tensor], origin: str = "block weights") -> ShortcutBlock:
    """The block that these tensors (published key names) belong to. ``origin`` names them in errors."""
    named = {key: item for key, item in _published(tensors, origin).items() if key not in DEAD_BLOCK_KEYS}
    kind = "a shortcut block"
    feat_ch = _size(named, origin, kind, [("cr1.0.weight", 1), ("cr2.0.weight", 1), ("recon_ref.weight", 0)])
    h = _size(named, origin, kind, [("cr1.0.weight", 0), ("cr2.0.weight", 0), ("recon_ref.weight", 1)])
    with torch.device("meta"):
        block = ShortcutBlock(feat_ch, h)
    return load_strictly(block, named, origin).eval()


def load_strictly(module: _M, tensors: Mapping[str, Tensor], origin: str) -> _M:
    """Fill a module, which may be on the meta device, with tensors of exactly its names and shapes.

    Every fault is in one message; its code is that of the first kind found.

    Raises:
        WeightsError: V2V-E6001 missing, V2V-E6002 unknown, V2V-E6003 misshapen, not float, or not finite.
    """
    wanted = module.state_dict()
    missing = sorted(wanted.keys() - tensors.keys())
    unknown = sorted(tensors.keys() - wanted.keys())
    both = sorted(wanted.keys() & tensors.keys())
    wrong = [f"{key} {fault}" for key in both if (fault := _fault(wanted[key], tensors[key]))]
    found = (
        ("V2V-E6001", "missing", _near(missing, unknown, "the file has")),
        ("V2V-E6002", "unknown", _near(unknown, missing or wanted, "meant")),
        ("V2V-E6003", "wrong", wrong),
    )
    faults = [(code, f"{len(keys)} {kind}: {_listed(keys)}") for code, kind, keys in found if keys]
    if faults:
        raise WeightsError(
            faults[0][0],
            f"{origin}: " + "; ".join(text for _, text in faults),
            f"the {len(wanted)} tensors of {type(module).__name__}, by their published names",
            "rename the keys, or give the weights that belong to this system",
        )
    state = {key: tensors[key].to(torch.float32) for key in wanted}
    module.load_state_dict(state, strict=True, assign=True)
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    return module


def _published(tensors: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        name = key.removeprefix("module.")
        if "decoder" in name:
            continue
        if name in named:
            raise WeightsError(
                "V2V-E6002", f'{origin}: {name} with and without "module."', "one of them", "drop the other"
            )
        named[name] = tensor
    return named


def _size(named: Mapping[str, Tensor], origin: str, kind: str, places: list[tuple[str, int]]) -> int:
    for key, axis in places:
        if key in named and named[key].ndim > axis:
            return named[key].shape[axis]
    raise _alien(named, origin, kind, places[0][0])


def _fault(wanted: Tensor, given: Tensor) -> str:
    if given.shape != wanted.shape:
        return f"is {list(given.shape)}, not {list(wanted.shape)}"
    if not given.is_floating_point():
        return f"is {str(given.dtype).removeprefix('torch.')}, not float"
    if not bool(torch.isfinite(given).all()):
        return "holds NaN or infinity"
    return ""


def _near(keys: Iterable[str], others: Iterable[str], word: str) -> list[str]:
    pool = list(others)
    result = []
    for key in keys:
        close = difflib.get_close_matches(key, pool, n=1, cutoff=0.85)
        result.append(f"{key} ({word} {close[0]}?)" if close else key)
    return result


def _listed(items: Iterable[str]) -> str:
    texts = list(items)
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def _alien(named: Mapping[str, Tensor], origin: str, kind: str, example: str) -> WeightsError:
    return WeightsError(
        "V2V-E6005",
        f"{origin}: {_listed(sorted(named)) or 'no tensors'}",
        f"the keys of {kind}, such as {example}",
        "give the weights of this architecture, under their published names",
    )


def _unreadable(path: Path, error: Exception) -> WeightsError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return WeightsError(
        "V2V-E6004",
        f"{path}: {reason[:200]}",
        "a whole safetensors file, or a state dict of tensors alone",
        "download or save it again; convert a legacy checkpoint to safetensors",
    )
