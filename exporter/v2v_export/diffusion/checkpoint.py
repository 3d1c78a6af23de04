"""Files of tensors: what is in them by their headers, then the tensors themselves, mapped and not copied."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from v2v_export.diffusion.configs import Kind
from v2v_export.diffusion.errors import WeightsError
from v2v_export.folder_layout import in_full, read_tensors
from v2v_export.remarks import remark

LEGACY = (".ckpt", ".pt", ".pth")
"""Pickled state dicts: read without running what they may hold."""

_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


class Checkpoint:
    """The tensors of one or several files, by name.

    Args:
        files: safetensors, or one legacy file.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = tuple(files)
        self._legacy: dict[str, Tensor] | None = None

    @property
    def origin(self) -> str:
        """How errors call it."""
        return ", ".join(path.name for path in self.files)

    def header(self) -> dict[str, Tensor]:
        """Name -> tensor on the meta device: type and shape without data. A legacy file has no header, and
        is read.

        Raises:
            WeightsError: V2V-E6101.
        """
        found: dict[str, Tensor] = {}
        for path in self.files:
            if path.suffix in LEGACY:
                found.update({name: item.to("meta") for name, item in self._read_legacy(path).items()})
                continue
            with _opened(path) as file:
                for name in file.keys():  # noqa: SIM118 - no mapping: it has no iterator
                    part = file.get_slice(name)
                    dtype = _DTYPES.get(part.get_dtype())
                    if dtype is None:
                        raise _unreadable(path, f"{name} is of type {part.get_dtype()}")
                    found[name] = torch.empty(part.get_shape(), dtype=dtype, device="meta")
        return found

    def tensors(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Name -> tensor; those of safetensors stay in the file's pages until they are used.

        Raises:
            WeightsError: V2V-E6101.
        """
        wanted = set(names)
        found: dict[str, Tensor] = {}
        for path in self.files:
            if path.suffix in LEGACY:
                found.update({k: v for k, v in self._read_legacy(path).items() if k in wanted})
                continue
            with _opened(path) as file:
                found.update({name: file.get_tensor(name) for name in wanted.intersection(file.keys())})
        return found

    def release(self) -> None:
        """Forgets what a legacy file held."""
        self._legacy = None

    def _read_legacy(self, path: Path) -> dict[str, Tensor]:
        if self._legacy is None:
            try:
                # weights_only: tensors and plain containers; torch refuses a file that would run code.
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except Exception as error:
                raise _unreadable(path, f"{type(error).__name__}: {_first_line(error)}") from error
            while isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
                content = content["state_dict"]
            if not isinstance(content, Mapping):
                raise _unreadable(path, f"it holds a {type(content).__name__}")
            self._legacy = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
        return self._legacy


def published_name(name: str, kind: Kind) -> str | None:
    """The name in today's modules of a tensor in a published file; None for what no module holds.

    Autoencoders' attention was named otherwise when SD1.5 came out; text encoders' tensors stand under
    ``text_model.``, and list their positions among them.
    """
    if kind in ("clip_text", "clip_text_projection"):
        if name.endswith("position_ids"):
            return None
        return name.removeprefix("text_model.") if kind == "clip_text" else name
    if kind == "kl" and ".attentions." in name:
        return re.sub(
            r"\.(query|key|value|proj_attn)\.(?=weight$|bias$)",
            lambda match: f".{_OLD_ATTENTION[match[1]]}.",
            name,
        )
    return name


def find_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors that hold the module of ``folder``: one file, or all parts of one that was split.

    Half precision (``*.fp16.safetensors``) is taken where it is there, for graphs of either precision: all
    variants of a bundle, and what judges them, are of the same weights. A remark tells it where the full
    files are there as well. Other variants (``*.non_ema.safetensors``) do not count beside the standard ones.

    Raises:
        WeightsError: V2V-E6101, there are none, or several that are not parts of one.
    """
    names = [path.name for path in folder.glob("*.safetensors")]
    taken = read_tensors(names)
    if taken:
        full = in_full(taken, names)
        if full:
            remark(
                f"{folder.name}: {taken[0]} is read, and not {full[0]} beside it: float32 graphs hold these "
                "half-precision values too. Take it out of the folder to read the other."
            )
        return tuple(folder / name for name in taken)
    raise WeightsError(
        "V2V-E6101",
        f"{folder.name} holds {', '.join(sorted(names)) or 'no safetensors that are clearly its own'}",
        "one file of weights in safetensors, or the parts of one",
        "convert it to safetensors, or take the other files out",
    )


_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """``safe_open``, its errors as ours."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, _first_line(error)) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _unreadable(path: Path, why: str) -> WeightsError:
    return WeightsError(
        "V2V-E6101",
        f"{path.name} cannot be read: {why}",
        "a whole safetensors file, or a legacy state dict of plain tensors",
        "fetch or convert it again",
    )
