"""Where a bundle comes from: tool versions, hashes of code and weights, and the keys that caching rests
on."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import v2v_export
from v2v_export.recipe import Recipe
from v2v_export.registry import code_digest, tree_digest
from v2v_export.store import Store, key_hash

TOOLS = (
    "torch",
    "onnx",
    "onnxscript",
    "onnx-ir",
    "numpy",
    "safetensors",
    "diffusers",
    "transformers",
    "tokenizers",
)
"""Packages whose version changes what is exported."""


@cache
def tool_versions() -> dict[str, str]:
    """Package -> installed version, without importing any."""
    versions = {"v2v-export": v2v_export.__version__}
    for name in TOOLS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "missing"
    return versions


@cache
def exporter_digest() -> str:
    """sha256 over the sources that decide what a graph becomes: a change there builds again."""
    here = Path(v2v_export.__file__).parent
    spec = find_spec("v2v_plugins")
    plugins = Path(spec.origin).parent if spec is not None and spec.origin else here
    parts = (
        here / "export",
        here / "diffusion",
        here / "system.py",
        here / "weights.py",
        here / "build" / "selftest.py",
        here / "clip.py",
        plugins,
    )
    return key_hash({"parts": [tree_digest(part) for part in parts]})


def core_key(recipe: Recipe, store: Store) -> dict[str, Any]:
    """Everything that graphs, blobs and program depend on besides the variant; plain JSON, no path.

    What a recipe calls itself, which targets it wants and how it is verified is not in it.
    """
    resolved = recipe.resolved(store.digest)
    return {
        "system": resolved["system"],
        "code": code_digest(recipe.system),
        "exporter": exporter_digest(),
        "tools": tool_versions(),
        "frame": resolved["frame"],
        "weights": resolved["weights"],
        "options": resolved["options"],
        "selftest_frames": recipe.verify.frames,
    }


def bundle_provenance(
    recipe: Recipe, store: Store, core: Mapping[str, Any], variants: Mapping[str, Any]
) -> dict[str, Any]:
    """What ``bundle.json`` says of its making. It holds no time and no path: equal builds give equal
    bytes."""
    return {
        "tools": tool_versions(),
        "python": platform.python_version(),
        "platform": f"{platform.system()}-{platform.machine()}".lower(),
        "recipe": recipe.resolved(store.digest),
        "code": core["code"],
        "core": key_hash(core),
        "variants": dict(variants),
    }
