"""From a bundle back to the model that it was built from: by its own record, or by a recipe that fits it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from v2v_runtime.bundle import Bundle

from v2v_export._toml import Where, field_types, read_value
from v2v_export.errors import RecipeError
from v2v_export.recipe import Recipe, VerifyOptions, load_recipe
from v2v_export.registry import find_system
from v2v_export.store import Store
from v2v_export.system import FrameSize, GraphOptions
from v2v_export.weights import RANDOM, Scaled

_COMPARED = ("system", "frame", "weights", "options", "lowering")


def recipe_of(bundle: Bundle, path: Path | None, store: Store) -> Recipe:
    """The recipe that ``bundle`` was built from.

    Args:
        path: a recipe file. None: a TOML file beside the bundle that fits it; or, where every weight is
            random, the bundle's own record, which says it all.

    Raises:
        RecipeError: the recipe gives another model (V2V-E5020), or none was found (V2V-E5021).
    """
    record = bundle.manifest.provenance.get("recipe")
    if not isinstance(record, Mapping):
        raise RecipeError(
            "V2V-E5021",
            f"{bundle.root.name} does not say which recipe made it",
            "",
            "build it with v2v-export",
        )
    if path is not None:
        recipe = load_recipe(path)
        difference = _difference(record, recipe.resolved(store.digest))
        if difference:
            raise RecipeError(
                "V2V-E5020",
                f"{path} gives another model than {bundle.root.name} was built from: {difference}",
                "the recipe of this bundle",
                "name the right recipe, or build the bundle again",
            )
        return recipe
    for candidate in sorted(bundle.root.parent.glob("*.toml")):
        try:
            recipe = load_recipe(candidate)
        except RecipeError:
            continue
        if not _difference(record, recipe.resolved(store.digest)):
            return recipe
    if all("random" in weight for value in record["weights"].values() for weight in _each(value)):
        return _recorded(record)
    raise RecipeError(
        "V2V-E5021",
        f"{bundle.root.name} records its weights by hash alone, and no recipe beside it fits",
        "the recipe with the paths of its weights",
        "name it with --recipe",
    )


def variant_options(bundle: Bundle, variant: str) -> GraphOptions:
    """The options that a variant was exported with."""
    recorded = bundle.manifest.provenance["variants"][variant]
    return GraphOptions(recorded["float"], dict(recorded["lowering"]))


def _difference(record: Mapping[str, Any], resolved: Mapping[str, Any]) -> str:
    """The first thing that differs, in words; empty if the model is the same."""
    for part in _COMPARED:
        if record[part] == resolved[part]:
            continue
        old, new = record[part], resolved[part]
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            for name in sorted({*old, *new}):
                if old.get(name) != new.get(name):
                    return f"{part}.{name} is {new.get(name)}, was {old.get(name)}"
        return f"{part} is {new}, was {old}"
    return ""


def _recorded(record: Mapping[str, Any]) -> Recipe:
    system = find_system(record["system"])
    where = Where("bundle.json", "")
    known = field_types(system.options)
    options = {
        name: read_value(known[name], value, where, ("options", name))
        for name, value in record["options"].items()
        if value is not None
    }
    verify = {item.name for item in fields(VerifyOptions)}
    return Recipe(
        name=record["name"],
        system=system,
        size=FrameSize(**record["frame"]),
        weights={name: _value(value) for name, value in record["weights"].items()},
        options=system.options(**options),
        verify=VerifyOptions(**{k: v for k, v in record["verify"].items() if k in verify}),
        lowering=record["lowering"],
    )


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _value(value: Any) -> str | tuple[Scaled, ...]:
    if isinstance(value, list):
        return tuple(Scaled(f"{RANDOM}{item['random']}", item["scale"]) for item in value)
    return f"{RANDOM}{value['random']}"
