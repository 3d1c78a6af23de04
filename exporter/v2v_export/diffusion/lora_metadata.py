"""What diffusers notes of peft's configuration in a LoRA file's metadata: alphas, and how they count."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

from v2v_export.diffusion.errors import LoraError

_KEY = "lora_adapter_metadata"


def read_metadata(path: Path) -> Mapping[str, Any]:
    """The notes by ``COMPONENT.NAME``; empty where the file has none. Those that are read are checked:
    ``lora_alpha`` is a finite number, ``alpha_pattern`` maps layers to such, ``use_rslora`` is a bool; each
    may be null.

    Raises:
        LoraError: V2V-E6112: no JSON object, or one of these is something else.
    """
    if path.suffix != ".safetensors":
        return {}
    with safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get(_KEY, "{}")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(path, f"no JSON: {error}") from error
    if not isinstance(content, dict):
        raise _wrong(path, f"a {type(content).__name__}")
    noted = {key: value for key, value in content.items() if value is not None}
    for key, value in noted.items():
        if not _good(key.rpartition(".")[2], value):
            raise _wrong(path, f"{key} = {json.dumps(value)[:60]}")
    return noted


def _good(name: str, value: object) -> bool:
    if name == "lora_alpha":
        return _is_number(value)
    if name == "alpha_pattern":
        return isinstance(value, dict) and all(_is_number(item) for item in value.values())
    return name != "use_rslora" or isinstance(value, bool)


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False  # an int beyond floats


def _wrong(path: Path, seen: str) -> LoraError:
    return LoraError(
        "V2V-E6112",
        f"{path.name}: its metadata {_KEY} is or has {seen}",
        "a JSON object: lora_alpha a number, alpha_pattern an object of numbers, use_rslora true or false",
        "save the LoRA again with diffusers, or take the metadata out if alpha is the rank",
    )
