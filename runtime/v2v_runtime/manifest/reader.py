"""Reads plain JSON values into the dataclasses of ``model``, by their type annotations.

A reader is made once per type and kept. Every mistake is named with the JSON path where it stands.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from v2v_runtime.errors import ManifestError
from v2v_runtime.manifest.codes import Code
from v2v_runtime.manifest.constraints import Items, Range, Text

Read = Callable[[object, str], Any]
T = TypeVar("T")

_JSON_NAMES = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "an integer",
    float: "a number with a fraction or exponent",
    bool: "true or false",
    type(None): "null",
}


def read_as(kind: type[T], value: object, path: str = "") -> T:
    """``value`` (from ``load_json``) as ``kind``, a dataclass of ``model``.

    Raises:
        ManifestError: V2V-E2012 to V2V-E2027.
    """
    reader: Read = _reader(cast(Any, kind))
    return cast(T, reader(value, path))


def nearest(word: str, known: object) -> str:
    """``did you mean 'x'?``, or what there is to choose from."""
    choices = sorted(map(str, cast(Any, known)))
    close = difflib.get_close_matches(word[:128], choices[:2000], 1, 0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    listed = ", ".join(map(repr, choices[:12])) + (", ..." if len(choices) > 12 else "")
    return f"choose from {listed}" if choices else "there is none to choose from"


def at(path: str, key: str) -> str:
    """The path of ``key`` in the object at ``path``; a key that would blur the path is quoted."""
    shown = key if re.fullmatch(r"[A-Za-z0-9_./-]{1,64}", key) else repr(key[:64])
    return f"{path}.{shown}" if path else shown


@functools.cache
def _reader(kind: Any) -> Read:
    origin = get_origin(kind)
    if origin is Annotated:
        base, *rules = get_args(kind)
        return _with_rules(_reader(base), _json_type(base), rules)
    if origin is Literal:
        return _literal(get_args(kind))
    if origin in (Union, types.UnionType):
        return _union(get_args(kind))
    if origin is tuple:
        return _array(_reader(get_args(kind)[0]))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key, entry = get_args(kind)
        return _free_object if entry is Any else _map(_reader(key), _reader(entry))
    if dataclasses.is_dataclass(kind):
        return _record(kind)
    if kind in (str, int):
        return lambda value, path: _expect(kind, value, path)
    if kind is bool:
        return lambda value, path: _expect(bool, value, path)
    raise TypeError(f"the model uses a type that the reader does not know: {kind!r}")


def _expect(kind: type[T], value: object, path: str) -> T:
    if type(value) is not kind:
        raise ManifestError(
            Code.WRONG_TYPE,
            path,
            f"{_JSON_NAMES.get(type(value), 'a value')} ({_short(value)})",
            _JSON_NAMES[kind],
        )
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _with_rules(base: Read, kind: type, rules: list[object]) -> Read:
    def read(value: object, path: str) -> Any:
        if isinstance(value, list | dict) and type(value) is kind:
            # Sizes come before anything is read into memory of ours.
            _check_items(rules, value, path)
        found = base(value, path)
        for rule in rules:
            if isinstance(rule, Text):
                _check_text(rule, found, path)
            elif isinstance(rule, Range) and not rule.low <= found <= rule.high:
                raise ManifestError(rule.code, path, str(found), f"{rule.low} to {rule.high}")
        return found

    return read


def _check_items(rules: list[object], value: list[Any] | dict[str, Any], path: str) -> None:
    for rule in rules:
        if isinstance(rule, Items) and not rule.fewest <= len(value) <= rule.most:
            raise ManifestError(rule.code, path, f"{len(value)} entries", f"{rule.fewest} to {rule.most}")


def _check_text(rule: Text, text: str, path: str) -> None:
    if len(text) > rule.longest or not re.fullmatch(rule.pattern[1:-1], text):
        raise ManifestError(rule.code, path, _short(text), rule.what)


def _literal(choices: tuple[Any, ...]) -> Read:
    def read(value: object, path: str) -> Any:
        text = _expect(str, value, path)
        if text not in choices:
            raise ManifestError(
                Code.NOT_A_CHOICE, path, _short(text), " or ".join(map(repr, choices)), nearest(text, choices)
            )
        return text

    return read


def _array(entry: Read) -> Read:
    def read(value: object, path: str) -> tuple[Any, ...]:
        return tuple(entry(item, f"{path}[{i}]") for i, item in enumerate(_expect(list, value, path)))

    return read


def _map(key: Read, entry: Read) -> Read:
    def read(value: object, path: str) -> dict[str, Any]:
        found = _expect(dict, value, path)
        return {key(name, at(path, name)): entry(item, at(path, name)) for name, item in found.items()}

    return read


def _free_object(value: object, path: str) -> dict[str, Any]:
    return dict(_expect(dict, value, path))


def _union(members: tuple[Any, ...]) -> Read:
    """Members of a union differ in their JSON type, except for records, which differ in their keys."""
    records = [member for member in members if dataclasses.is_dataclass(member)]
    others = {_json_type(member): member for member in members if not dataclasses.is_dataclass(member)}
    expected = " or ".join(_JSON_NAMES[kind] for kind in [*others, *[dict] * bool(records)])

    def read(value: object, path: str) -> Any:
        kind = type(value)
        if kind is dict and records:
            return _reader(_best_record(records, cast(dict[str, Any], value)))(value, path)
        if kind not in others:
            raise ManifestError(
                Code.WRONG_TYPE, path, f"{_JSON_NAMES.get(kind, 'a value')} ({_short(value)})", expected
            )
        return None if value is None else _reader(others[kind])(value, path)

    return read


def _json_type(kind: Any) -> type:
    if get_origin(kind) is Annotated:
        return _json_type(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return str
    if get_origin(kind) is tuple:
        return list
    return cast(type, kind) if get_origin(kind) is None else dict


def _best_record(records: list[Any], value: dict[str, Any]) -> Any:
    """The first record that shares the most keys with ``value``."""
    return max(
        records, key=lambda record: len({item.name for item in dataclasses.fields(record)} & value.keys())
    )


def _record(kind: Any) -> Read:
    hints = get_type_hints(kind, include_extras=True)
    readers = {item.name: _reader(hints[item.name]) for item in dataclasses.fields(kind)}
    required = [
        item.name
        for item in dataclasses.fields(kind)
        if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    ]

    def read(value: object, path: str) -> Any:
        found = _expect(dict, value, path)
        for name in found:
            if name not in readers:
                free = [known for known in readers if known not in found]
                raise ManifestError(
                    Code.UNKNOWN_KEY,
                    at(path, name),
                    "a key that does not exist here",
                    "",
                    nearest(name, free),
                )
        for name in required:
            if name not in found:
                raise ManifestError(
                    Code.MISSING_KEY,
                    path,
                    f"{name!r} is missing",
                    f"keys {', '.join(required)}",
                    f"add {name!r}",
                )
        return kind(**{name: readers[name](found[name], at(path, name)) for name in readers if name in found})

    return read
