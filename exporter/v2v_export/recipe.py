"""Reads a recipe, ``v2v.toml``, strictly: what it does not know, it refuses, and says what was meant."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from v2v_export._toml import Where, field_types, read_value
from v2v_export.errors import RecipeError
from v2v_export.hub import HUB, split_hub
from v2v_export.profiles import Choice, Profile
from v2v_export.registry import find_system
from v2v_export.system import FrameSize, System
from v2v_export.targets.base import builders
from v2v_export.weights import RANDOM, Form, Scaled, Weights, WeightSlot, recorded


@dataclass(frozen=True)
class VerifyOptions:
    """The recipe's ``[verify]``: what parity asks for at build time.

    Attributes:
        frames: frames of the self-test and of the free-running stream, at least 2; 0: neither, where the
            PyTorch reference takes too long for one.
        tolerance_float32: largest difference at the float tap, in [-1, 1], where "float" is float32.
        tolerance_float16: the same where it is float16.
        levels_float32: largest difference of the uint8 output, in levels, where "float" is float32.
        levels_float16: the same where it is float16; 2e-2 of [-1, 1] is less than 3 of 255.
        budget_seconds: that a build spends on what PyTorch computes, and again on playing each target, about.
            What it has no time for is told; ``verify --full`` has no limit.
    """

    frames: int = 12
    tolerance_float32: float = 1e-4
    tolerance_float16: float = 2e-2
    levels_float32: int = 1
    levels_float16: int = 3
    budget_seconds: float = 300.0


@dataclass(frozen=True)
class Recipe:
    """What a user asks for, checked and complete.

    Attributes:
        name: the bundle's name; the bundle is published as ``<name>.v2v``.
        system: the system.
        size: the frame's size.
        weights: slot -> value (see ``v2v_export.weights``), paths absolute.
        options: an instance of ``system.options``.
        profiles: names of the profiles to build for where the command line names none.
        verify: see ``VerifyOptions``.
        lowering: backend -> operation family -> form, in place of the profiles' choices.
        path: the file that it was read from; None for one that was made in code.
    """

    name: str
    system: System
    size: FrameSize
    weights: Weights
    options: Any
    profiles: tuple[str, ...] = ("cpu",)
    verify: VerifyOptions = VerifyOptions()
    lowering: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    path: Path | None = None

    def resolved(self, digest: Callable[[Path], str]) -> dict[str, Any]:
        """Every choice with its value, as plain JSON without any local path: for provenance and keys.

        Args:
            digest: a file's sha256; weights stand as that and their bare name.

        Raises:
            RecipeError: V2V-E5008, weights in a repository of the hub that cannot be had.
        """
        weights: dict[str, Any] = {}
        for slot in self.system.weights:
            value = self.weights.get(slot.name)
            if isinstance(value, str):
                weights[slot.name] = recorded(value, slot, digest)
            elif value is not None:
                weights[slot.name] = [
                    {**recorded(item.source, slot, digest), "scale": item.scale} for item in value
                ]
        return {
            "name": self.name,
            "system": self.system.name,
            "frame": {"height": self.size.height, "width": self.size.width},
            "weights": weights,
            "options": {item.name: getattr(self.options, item.name) for item in fields(self.options)},
            "verify": {item.name: getattr(self.verify, item.name) for item in fields(self.verify)},
            "lowering": {backend: dict(forms) for backend, forms in sorted(self.lowering.items())},
        }

    def profile(self, profile: Profile) -> Profile:
        """A profile with the recipe's own lowerings in place of its choices."""
        if not self.lowering:
            return profile
        chosen = {
            backend: {family: Choice(form, "the recipe chooses it") for family, form in forms.items()}
            for backend, forms in self.lowering.items()
        }
        backends = {*profile.lowering, *chosen}
        merged = {
            name: {**profile.lowering.get(name, {}), **chosen.get(name, {})} for name in sorted(backends)
        }
        return replace(profile, lowering=merged)


def load_recipe(path: Path | str, registry: Mapping[str, System] | None = None) -> Recipe:
    """Reads a recipe file.

    Args:
        registry: the systems to choose from; None: the installed ones.

    Raises:
        RecipeError: the file cannot be read or is no TOML (V2V-E5001), an unknown key (V2V-E5002), a missing
            one (V2V-E5003), a value of the wrong type or out of range (V2V-E5004), a size (V2V-E5005),
            weights (V2V-E5006, V2V-E5007), an unknown system (V2V-E5010) or one that is broken (V2V-E5011).
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8")
        table = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecipeError(
            "V2V-E5001",
            f"cannot read the recipe {path}: {reason}",
            "a UTF-8 TOML file",
            "`v2v-export init SYSTEM` writes one to start from",
        ) from None
    return _recipe(table, Where(path.name, text), path.absolute(), registry)


def _recipe(
    table: Mapping[str, Any], where: Where, path: Path, registry: Mapping[str, System] | None
) -> Recipe:
    tables = {"frame", "weights", "options", "targets", "verify", "lowering"}
    _known(table, {"name", "system", *tables}, where, ())
    _required(table, ("name", "system", "frame"), where, ())
    for key in tables & set(table):
        if not isinstance(table[key], dict):
            raise where.wrong((key,), table[key], f"a table: write [{key}]")
    name = _name(table["name"], where)
    system = _system(read_value(str, table["system"], where, ("system",)), registry)
    targets = table.get("targets", {})
    _known(targets, {"profiles"}, where, ("targets",))
    profiles = read_value(tuple[str, ...], targets.get("profiles", ["cpu"]), where, ("targets", "profiles"))
    if not profiles:
        raise where.wrong(("targets", "profiles"), [], "at least one profile")
    return Recipe(
        name=name,
        system=system,
        size=_size(table["frame"], where),
        weights=_weights(table.get("weights", {}), system, where, path.parent),
        options=_dataclass(system.options, table.get("options", {}), where, "options"),
        profiles=tuple(dict.fromkeys(profiles)),
        verify=_verify(table.get("verify", {}), where),
        lowering=_lowering(table.get("lowering", {}), system, where),
        path=path,
    )


def _name(value: object, where: Where) -> str:
    name: str = read_value(str, value, where, ("name",))
    good = name[:1].isalnum() and all(letter.isalnum() or letter in "-_." for letter in name)
    if not good or not name.isascii() or len(name) > 64:
        raise where.wrong(("name",), name, "1 to 64 letters, digits, dashes, dots or underscores")
    return name


def _system(name: str, registry: Mapping[str, System] | None) -> System:
    if registry is None:
        return find_system(name)
    if name not in registry:
        near = difflib.get_close_matches(name, registry, 3, cutoff=0.4)
        raise RecipeError(
            "V2V-E5010",
            f'no system is named "{name}"',
            f"one of {', '.join(sorted(registry))}",
            f"did you mean {' or '.join(near)}?" if near else "`v2v-export systems` lists them",
        )
    return registry[name]


def _size(table: Mapping[str, Any], where: Where) -> FrameSize:
    _known(table, {"height", "width"}, where, ("frame",))
    _required(table, ("height", "width"), where, ("frame",))
    sizes = {key: read_value(int, table[key], where, ("frame", key)) for key in ("height", "width")}
    for key, value in sizes.items():
        if not 1 <= value <= 1 << 14:
            raise RecipeError(
                "V2V-E5005",
                f"{where.at(('frame', key))}: {key} = {value}",
                f"pixels, from 1 to {1 << 14}",
                "give the size of the frames that the stream will get",
            )
    return FrameSize(**sizes)


def _weights(
    table: Mapping[str, Any], system: System, where: Where, folder: Path
) -> dict[str, str | tuple[Scaled, ...]]:
    _known(table, [slot.name for slot in system.weights], where, ("weights",), "V2V-E5006")
    required = [slot.name for slot in system.weights if slot.required]
    _required(table, required, where, ("weights",), "V2V-E5006")
    found: dict[str, str | tuple[Scaled, ...]] = {}
    for slot in system.weights:
        if slot.name not in table:
            continue
        key, value = ("weights", slot.name), table[slot.name]
        if not slot.many:
            found[slot.name] = _weight(value, slot, where, key, folder)
        elif isinstance(value, list):
            found[slot.name] = tuple(_scaled(item, slot, where, key, folder) for item in value)
        else:
            raise where.wrong(key, value, 'a list, such as ["style.safetensors"]', "put it in brackets")
    return found


def _scaled(value: object, slot: WeightSlot, where: Where, key: tuple[str, ...], folder: Path) -> Scaled:
    """A plain text, or ``{file = "...", scale = 0.8}``."""
    if not isinstance(value, dict):
        return Scaled(_weight(value, slot, where, key, folder))
    _known(value, ("file", "scale"), where, key, "V2V-E5006")
    _required(value, ("file",), where, key, "V2V-E5006")
    scale = read_value(float, value.get("scale", 1.0), where, (*key, "scale"))
    return Scaled(_weight(value["file"], slot, where, key, folder), scale)


def _weight(value: object, slot: WeightSlot, where: Where, key: tuple[str, ...], folder: Path) -> str:
    text = read_value(str, value, where, key)
    if text.startswith(RANDOM):
        return _form(_seed(text, where, key), "random", slot, where, key)
    if text.startswith(HUB):
        split_hub(text)
        return _form(text, "hub", slot, where, key)
    path = (folder / text).absolute()
    if path.is_dir():
        return _form(str(path), "folder", slot, where, key)
    if not path.is_file():
        near = difflib.get_close_matches(path.name, _names(path.parent), 1)
        raise RecipeError(
            "V2V-E5007",
            f'{where.at(key)}: there is no file "{text}"',
            f"{_forms(slot)}, a path relative to the recipe's folder",
            f'did you mean "{near[0]}"?' if near else "correct the path",
        )
    return _form(str(path), "file", slot, where, key)


def _seed(text: str, where: Where, key: tuple[str, ...]) -> str:
    seed = text.removeprefix(RANDOM)
    # Its length first: int() refuses to read thousands of digits.
    if not (seed.isascii() and seed.isdigit() and len(seed) <= 19 and int(seed) < 1 << 63):
        shown = text if len(text) <= 40 else f"{text[:40]}..."
        raise RecipeError(
            "V2V-E5006",
            f'{where.at(key)}: "{shown}"',
            '"random:SEED" with a whole number from 0 to 2^63 - 1',
            'write "random:0", say',
        )
    return f"{RANDOM}{int(seed)}"


_FORMS = {
    "file": "a weights file",
    "folder": "a folder in diffusers' layout",
    "hub": '"hub:OWNER/NAME"',
    "random": '"random:SEED"',
}


def _forms(slot: WeightSlot) -> str:
    return " or ".join(_FORMS[form] for form in slot.forms)


def _form(value: str, form: Form, slot: WeightSlot, where: Where, key: tuple[str, ...]) -> str:
    if form not in slot.forms:
        shown = value if form in ("hub", "random") else Path(value).name
        raise RecipeError(
            "V2V-E5006",
            f'{where.at(key)}: "{shown}" is {_FORMS[form]}',
            _forms(slot),
            f"give {slot.name} in one of these forms",
        )
    return value


def _names(folder: Path) -> list[str]:
    return [item.name for item in folder.iterdir()] if folder.is_dir() else []


def _verify(table: Mapping[str, Any], where: Where) -> VerifyOptions:
    options: VerifyOptions = _dataclass(VerifyOptions, table, where, "verify")
    for item in fields(options):
        value = getattr(options, item.name)
        if not (math.isfinite(value) and value >= 0):
            raise where.wrong(("verify", item.name), value, "a number of at least 0")
    if options.frames == 1:
        raise where.wrong(("verify", "frames"), 1, "at least 2 frames, or 0 for no self-test")
    return options


def _lowering(table: Mapping[str, Any], system: System, where: Where) -> dict[str, dict[str, str]]:
    """``[lowering.<backend>]``: operation family -> form, of those that the system has."""
    _known(table, builders(), where, ("lowering",))
    chosen: dict[str, dict[str, str]] = {}
    for backend, forms in table.items():
        if not isinstance(forms, dict):
            raise where.wrong(("lowering", backend), forms, f"a table: write [lowering.{backend}]")
        _known(forms, system.lowerings, where, ("lowering", backend))
        chosen[backend] = {}
        for family, form in forms.items():
            if form not in system.lowerings[family]:
                expected = f"one of {', '.join(system.lowerings[family])}"
                raise where.wrong(("lowering", backend, family), form, expected)
            chosen[backend][family] = form
    return chosen


def _dataclass(kind: type[Any], table: Mapping[str, Any], where: Where, name: str) -> Any:
    types = field_types(kind)
    _known(table, types, where, (name,))
    read = partial(read_value, where=where)
    return kind(**{key: read(types[key], value, key=(name, key)) for key, value in table.items()})


def _known(
    table: Mapping[str, Any], keys: Iterable[str], where: Where, at: tuple[str, ...], code: str = "V2V-E5002"
) -> None:
    known = sorted(keys)
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, cutoff=0.5)
            raise RecipeError(
                code,
                f'{where.at((*at, key))}: unknown key "{key}"',
                f"one of {', '.join(known)}" if known else "no key here",
                f'did you mean "{near[0]}"?' if near else "remove it",
            )


def _required(
    table: Mapping[str, Any], keys: Iterable[str], where: Where, at: tuple[str, ...], code: str = "V2V-E5003"
) -> None:
    for key in keys:
        if key not in table:
            place = f"[{'.'.join(at)}] of {where.file}" if at else where.file
            raise RecipeError(code, f'{place} lacks "{key}"', "", f"add {key} = ...")
