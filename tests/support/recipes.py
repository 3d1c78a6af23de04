"""Recipes as text, and bundles built of them for the CPU."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from v2v_export.build import build
from v2v_export.profiles import load_profile
from v2v_export.recipe import load_recipe
from v2v_export.store import Store
from v2v_export.verify.request import Parity, ParityRequest
from v2v_runtime.bundle import Bundle


def recipe_text(
    system: str,
    size: tuple[int, int],
    weights: Mapping[str, Any],
    options: Mapping[str, Any] | None = None,
    *,
    name: str = "case",
    frames: int | None = None,
) -> str:
    """A ``v2v.toml`` for frames of (height, width); its last table is ``[verify]`` if ``frames`` is given."""
    tables: dict[str, Mapping[str, Any]] = {
        "frame": {"height": size[0], "width": size[1]},
        "weights": weights,
        "options": options or {},
    }
    if frames is not None:
        tables["verify"] = {"frames": frames}
    lines = [f'name = "{name}"', f'system = "{system}"']
    for table, entries in tables.items():
        # A number, a text or a list of them is written alike in JSON and in TOML.
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in entries.items())]
    return "\n".join(lines) + "\n"


def small_shortcut(frames: int, **options: Any) -> str:
    """Shortcut-V2V of the smallest widths at 16 x 24, with random weights; its name is ``small``."""
    weights = {"teacher": "random:1", "shortcut": "random:1"}
    narrow = {"ngf": 4, "n_blocks": 1, **options}
    return recipe_text("shortcut_v2v", (16, 24), weights, narrow, name="small", frames=frames)


def built_unverified(folder: Path, store: Store, text: str, name: str = "case") -> Bundle:
    """The bundle ``<name>.v2v`` of a recipe in ``folder``; parity is the test's own business."""
    recipe = folder / f"{name}.toml"
    recipe.write_text(text)

    def verified_by_the_test(request: ParityRequest) -> Parity:
        return Parity("built", {"note": "the test that built this compares it"})

    result = build(
        load_recipe(recipe),
        folder / f"{name}.v2v",
        [load_profile("cpu")],
        store=store,
        verify=verified_by_the_test,
    )
    return Bundle.open(result.bundle)
