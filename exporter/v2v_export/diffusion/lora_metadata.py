"""What peft's configuration says of a LoRA's alphas: diffusers notes it in the file's metadata, peft itself
in an ``adapter_config.json`` beside the file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import safe_open

from v2v_export.diffusion.errors import LoraError
from v2v_export.diffusion.network_slots import ADAPTER_CONFIG

_KEY = "lora_adapter_metadata"
_READ = ("lora_alpha", "alpha_pattern", "use_rslora")


@dataclass(frozen=True)
class Notes:
    """What one configuration says of the layers that it is for.

    Attributes:
        alpha: of every layer that no pattern names; None: each layer's rank.
        patterns: regular expression -> alpha. Like peft, the first in order counts whose match, at the start
            of a layer's path or behind one of its dots, goes to the path's end.
        root: alpha counts over the square root of the rank (rsLoRA).
    """

    alpha: float | None = None
    patterns: Mapping[str, float] = field(default_factory=dict)
    root: bool = False

    def factor(self, path: str, rank: int) -> float:
        """What the product of the two matrices of a layer is multiplied with: alpha / rank, or
        alpha / sqrt(rank)."""
        named = (alpha for pattern, alpha in self.patterns.items() if re.match(_whole(pattern), path))
        alpha = next(named, rank if self.alpha is None else self.alpha)
        return alpha / (math.sqrt(rank) if self.root else rank)


def read_metadata(path: Path, origin: str) -> Mapping[str, Notes]:
    """The notes in a file's metadata by component, ``""`` where they name none; empty where it has none.

    ``StableDiffusionPipeline.save_lora_weights`` names components, ``UNet2DConditionModel.save_lora_adapter``
    does not.

    Args:
        origin: how errors call the file.

    Raises:
        LoraError: V2V-E6112: no JSON object, or ``lora_alpha`` is no finite number, ``alpha_pattern`` no
            object of regular expressions with such, ``use_rslora`` no bool. Each may be null.
    """
    if path.suffix != ".safetensors":
        return {}
    with safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get(_KEY, "{}")
    origin = f"{origin}: its metadata {_KEY}"
    found: dict[str, dict[str, Any]] = {}
    for key, value in _read(text, origin).items():
        component, _, name = key.rpartition(".")
        found.setdefault(component, {})[name] = _checked(name, value, origin, key)
    return {component: _notes(entries) for component, entries in found.items()}


def read_config(path: Path, origin: str) -> Notes | None:
    """The configuration beside a LoRA's file; None: there is none.

    Raises:
        LoraError: V2V-E6112, as ``read_metadata``, or it cannot be read.
    """
    place = path.parent / ADAPTER_CONFIG
    if not place.is_file():
        return None
    origin = f"{origin}: {ADAPTER_CONFIG} beside it"
    try:
        text = place.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise _wrong(origin, f"unreadable: {error}") from error
    content = _read(text, origin)
    return _notes({name: _checked(name, value, origin, name) for name, value in content.items()})


def _read(text: str, origin: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(origin, f"no JSON: {error}") from error
    if not isinstance(content, dict):
        raise _wrong(origin, f"a {type(content).__name__}")
    return content


def _checked(name: str, value: Any, origin: str, key: str) -> Any:
    if name in _READ and value is not None and not _good(name, value):
        raise _wrong(origin, f"{key} = {json.dumps(value)[:60]}")
    return value


def _notes(entries: Mapping[str, Any]) -> Notes:
    alpha = entries.get("lora_alpha")
    patterns = {key: float(value) for key, value in (entries.get("alpha_pattern") or {}).items()}
    return Notes(None if alpha is None else float(alpha), patterns, bool(entries.get("use_rslora")))


def _good(name: str, value: object) -> bool:
    if name == "lora_alpha":
        return _is_number(value)
    if name == "alpha_pattern":
        return isinstance(value, dict) and all(_is_number(v) and _compiles(k) for k, v in value.items())
    return isinstance(value, bool)


def _whole(pattern: str) -> str:
    return rf"(.*\.)?({pattern})$"


def _compiles(pattern: str) -> bool:
    try:
        re.compile(_whole(pattern))
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False  # an int beyond floats


def _wrong(origin: str, seen: str) -> LoraError:
    return LoraError(
        "V2V-E6112",
        f"{origin} is or has {seen}",
        "a JSON object: lora_alpha a number, alpha_pattern an object of regular expressions with numbers, "
        "use_rslora true or false",
        "save the LoRA again with diffusers or peft, or take this out if alpha is the rank",
    )
