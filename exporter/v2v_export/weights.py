"""Weights as a system declares them and as a recipe gives them; reading them is the system's own matter.

A value is an absolute path of a file or of a folder, ``hub:OWNER/NAME`` with an optional ``@REVISION``, or
``random:SEED``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from v2v_export.folder_layout import read_files
from v2v_export.hub import HUB, snapshot, split_hub
from v2v_export.store import key_hash

RANDOM = "random:"
"""How weights that a seed makes are written: ``random:SEED``."""

TOP = ("",)
"""``parts`` of a slot that reads nothing but what is at a folder's top."""

Form = Literal["file", "folder", "hub", "random"]


@dataclass(frozen=True)
class WeightSlot:
    """One entry of a recipe's ``[weights]``, as a system declares it.

    Attributes:
        name: the key.
        required: whether a recipe must give it.
        many: a list of values, each with a scale (LoRAs), instead of one value.
        forms: which values it takes.
        parts: of a folder or a repository of the hub, the subfolders that are read, such as ``("unet",)``;
            files at its top are read as well. Empty: every file below it.
        beside: names of files that are read with a file where they stand in its folder.
    """

    name: str
    required: bool = True
    many: bool = False
    forms: tuple[Form, ...] = ("file", "random")
    parts: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scaled:
    """One value of a slot that takes many.

    Attributes:
        source: the value.
        scale: how strongly it counts.
    """

    source: str
    scale: float = 1.0


Weights = Mapping[str, str | tuple[Scaled, ...]]
"""Slot -> its value, or its values where the slot takes many. Optional slots left out are absent."""


def one(weights: Weights, name: str) -> str:
    """The value of a slot that takes one and was given.

    Raises:
        KeyError: it was left out.
        TypeError: the slot takes many.
    """
    value = weights[name]
    if not isinstance(value, str):
        raise TypeError(f"weights {name!r} hold several values: the system declares them as many")
    return value


def optional(weights: Weights, name: str) -> str | None:
    """The value of a slot that takes one, or None where it was left out."""
    return one(weights, name) if name in weights else None


def listed(weights: Weights, name: str) -> tuple[Scaled, ...]:
    """The values of a slot that takes many, in the recipe's order; none where it was left out.

    Raises:
        TypeError: the slot takes one.
    """
    value = weights.get(name, ())
    if isinstance(value, str):
        raise TypeError(f"weights {name!r} hold one value: the system declares them as one")
    return value


def counted_files(folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """The files of a folder that decide what is loaded, in the order of their names: those of
    ``folder_layout.read_files``, but for hidden ones."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    seen = (path.as_posix() for path in files if not any(part.startswith(".") for part in path.parts))
    for name in read_files(seen, parts):
        yield folder / name


def recorded(value: str, slot: WeightSlot, digest: Callable[[Path], str]) -> dict[str, Any]:
    """What a value is, by content and without any local path, as plain JSON.

    Args:
        digest: a file's sha256.

    Raises:
        RecipeError: V2V-E5008, a repository of the hub that cannot be had.
    """
    if value.startswith(RANDOM):
        return {"random": int(value.removeprefix(RANDOM))}
    if value.startswith(HUB):
        folder = snapshot(value, slot.parts)
        name, _ = split_hub(value)
        # The cache names a snapshot's folder after its commit.
        return {"hub": name, "revision": folder.name, "sha256": _tree(folder, slot.parts, digest)}
    path = Path(value)
    if path.is_dir():
        return {"folder": path.name, "sha256": _tree(path, slot.parts, digest)}
    beside = {name: digest(path.parent / name) for name in slot.beside if (path.parent / name).is_file()}
    return {"file": path.name, "sha256": digest(path), **({"beside": beside} if beside else {})}


def _tree(folder: Path, parts: tuple[str, ...], digest: Callable[[Path], str]) -> str:
    return key_hash(
        {path.relative_to(folder).as_posix(): digest(path) for path in counted_files(folder, parts)}
    )
