"""Golden data: the folder that V2V_GOLDEN names when it is set, else the trimmed copies beside this file."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor


def golden_folder(system: str) -> Path:
    """The folder of one system's set; a set that is missing is an error.

    The copies beside this file leave some of a set's files out: cases that need those skip themselves.
    """
    root = Path(os.environ.get("V2V_GOLDEN") or Path(__file__).parent / "golden")
    folder = root / system
    if not any((folder / name).is_file() for name in ("config.json", "cases.json")):
        raise FileNotFoundError(f"no golden set in {folder}")
    return folder


@cache
def golden_config(system: str) -> dict[str, Any]:
    """``config.json`` of a set: sizes, attributes, noise floors."""
    content: dict[str, Any] = json.loads((golden_folder(system) / "config.json").read_text())
    return content


@cache
def golden_numbers(system: str, file: str) -> dict[str, Any]:
    """``<file>.json`` of a set: what one of its files was made with."""
    content: dict[str, Any] = json.loads((golden_folder(system) / f"{file}.json").read_text())
    return content


@cache
def golden_tensors(system: str, file: str) -> dict[str, Tensor]:
    """The tensors of ``<file>.safetensors``. Shared between tests: read, never write."""
    return load_file(golden_folder(system) / f"{file}.safetensors")
