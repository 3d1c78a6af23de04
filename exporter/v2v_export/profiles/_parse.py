"""Reading a profile strictly: every key known, every number with its source, nothing guessed."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, fields
from typing import Any, Literal, NoReturn, cast, get_args

from v2v_export.errors import RecipeError
from v2v_export.profiles.model import Backend, Choice, Figure, Profile

_BACKENDS = cast("tuple[Backend, ...]", get_args(Backend))
_CAPABILITY = re.compile(r"[1-9][0-9]?\.[0-9]")


def parse_profile(text: str, stem: str, where: str) -> Profile:
    """Reads one TOML document.

    Args:
        stem: the name that the profile must bear.
        where: how errors call the document.

    Raises:
        RecipeError: V2V-E5102 not TOML; V2V-E5103 unknown key; V2V-E5104 missing key; V2V-E5105 a value of
            the wrong type or out of range; V2V-E5106 the name is not the file's; V2V-E5107 figures or tables
            that do not fit each other.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError("V2V-E5102", f"{where} is not TOML: {error}", "", "correct that line") from None
    _known(table, {item.name for item in fields(Profile)}, where)
    required = {
        item.name for item in fields(Profile) if item.default is MISSING and item.default_factory is MISSING
    }
    if missing := sorted(required - set(table)):
        raise RecipeError(
            "V2V-E5104",
            f"{where} lacks {', '.join(missing)}",
            "",
            "add them; the shipped profiles show the form",
        )
    values = {key: _FIELDS[key](value, f"{where}, {key}") for key, value in table.items()}
    profile = Profile(**values)
    _consistent(profile, stem, where)
    return profile


def _consistent(profile: Profile, stem: str, where: str) -> None:
    if profile.name != stem:
        raise RecipeError(
            "V2V-E5106",
            f'{where} is named "{profile.name}"',
            f'"{stem}", as its file is',
            "rename one of the two",
        )
    wrong = ""
    if len(set(profile.backends)) < len(profile.backends):
        wrong = f"a backend stands twice in backend and fallbacks: {', '.join(profile.backends)}"
    elif "tensorrt" in profile.backends and profile.compute_capability is None:
        wrong = "backend tensorrt without a compute_capability"
    elif profile.precision == "fp16" and profile.fp16_tflops is None:
        wrong = "precision fp16 without fp16_tflops"
    elif profile.reserve_gib.value >= profile.memory_gib.value:
        wrong = (
            f"reserve_gib {profile.reserve_gib.value:g} leaves nothing of {profile.memory_gib.value:g} GiB"
        )
    elif strangers := (set(profile.options) | set(profile.lowering)) - set(profile.backends):
        wrong = f"options or lowering for {', '.join(sorted(strangers))}, which is no backend of this profile"
    if wrong:
        raise RecipeError("V2V-E5107", f"{where}: {wrong}", "", "correct the one or the other")


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        _refuse(value, where, "a text that is not empty")
    return value


def _backend(value: object, where: str) -> Backend:
    if value not in _BACKENDS:
        _refuse(value, where, f"one of {', '.join(_BACKENDS)}")
    return value


def _backends(value: object, where: str) -> tuple[Backend, ...]:
    if not isinstance(value, list):
        _refuse(value, where, "a list of backends")
    return tuple(_backend(item, where) for item in value)


def _precision(value: object, where: str) -> Literal["fp16", "fp32"]:
    if value not in ("fp16", "fp32"):
        _refuse(value, where, "fp16 or fp32")
    return value


def _capability(value: object, where: str) -> str:
    if not isinstance(value, str) or not _CAPABILITY.fullmatch(value):
        _refuse(value, where, 'a text such as "8.9"')
    return value


def _mebibytes(value: object, where: str) -> int:
    if type(value) is not int or value < 1:
        _refuse(value, where, "a whole number of MiB, at least 1")
    return value


def _figure(value: object, where: str) -> Figure:
    table = _table(value, where, "{ value = 24, source = ... }")
    _known(table, {"value", "source", "approximate"}, where)
    number = table.get("value")
    if isinstance(number, bool) or not isinstance(number, int | float):
        _refuse(number, where + ".value", "a number")
    if not 0 < number < math.inf:
        _refuse(number, where + ".value", "positive and finite")
    approximate = table.get("approximate", False)
    if not isinstance(approximate, bool):
        _refuse(approximate, where + ".approximate", "true or false")
    return Figure(float(number), _text(table.get("source"), where + ".source"), approximate)


def _options(value: object, where: str) -> dict[str, dict[str, str]]:
    tables = _table(value, where, "a table per backend")
    return {
        _backend(backend, where): {
            key: _text(item, f"{where}.{backend}.{key}")
            for key, item in _table(table, f"{where}.{backend}", "a table of texts").items()
        }
        for backend, table in tables.items()
    }


def _lowering(value: object, where: str) -> dict[str, dict[str, Choice]]:
    tables = _table(value, where, "a table per backend")
    return {
        _backend(backend, where): {
            family: _choice(item, f"{where}.{backend}.{family}")
            for family, item in _table(table, f"{where}.{backend}", "a table of choices").items()
        }
        for backend, table in tables.items()
    }


def _choice(value: object, where: str) -> Choice:
    table = _table(value, where, "{ form = ..., why = ... }")
    _known(table, {"form", "why"}, where)
    return Choice(_text(table.get("form"), where + ".form"), _text(table.get("why"), where + ".why"))


def _table(value: object, where: str, expected: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        _refuse(value, where, expected)
    return value


def _known(table: Mapping[str, object], keys: Collection[str], where: str) -> None:
    for key in table:
        if key not in keys:
            near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
            raise RecipeError(
                "V2V-E5103",
                f'{where}: unknown key "{key}"',
                f"one of {', '.join(sorted(keys))}",
                f'did you mean "{near[0]}"?' if near else "remove it",
            )


def _refuse(value: object, where: str, expected: str) -> NoReturn:
    raise RecipeError("V2V-E5105", f"{where}: {value!r}", expected, "correct it")


_FIELDS: Mapping[str, Callable[[object, str], Any]] = {
    "name": _text,
    "title": _text,
    "backend": _backend,
    "precision": _precision,
    "memory_gib": _figure,
    "reserve_gib": _figure,
    "bandwidth_gbs": _figure,
    "fp32_tflops": _figure,
    "l2_mib": _figure,
    "fp16_tflops": _figure,
    "fp16_fp32acc_tflops": _figure,
    "compute_capability": _capability,
    "workspace_mib": _mebibytes,
    "fallbacks": _backends,
    "options": _options,
    "lowering": _lowering,
    "note": _text,
}
