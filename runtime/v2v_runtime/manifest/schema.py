"""The JSON Schemas (draft 2020-12) for editors, generated from ``model``.

``python -m v2v_runtime.manifest.schema`` writes ``bundle.schema.json`` and ``target.schema.json`` beside this
file. They say what types can say; what ``validate`` checks is beyond them.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from v2v_runtime.manifest.constraints import Items, Range, Text
from v2v_runtime.manifest.encode import readable_json, to_json
from v2v_runtime.manifest.model import Manifest, Target

FILES: Mapping[str, type] = {"bundle.schema.json": Manifest, "target.schema.json": Target}
_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n        .*)*)", re.MULTILINE)


def schema_of(kind: type) -> dict[str, Any]:
    """The schema of a document that is one ``kind`` (a dataclass of ``model``)."""
    definitions: dict[str, Any] = {}
    _define(kind, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": get_args(get_type_hints(kind, include_extras=True)["schema"])[0],
        "$ref": f"#/$defs/{kind.__name__}",
        "$defs": definitions,
    }


def _define(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    name = kind.__name__
    if name not in definitions:
        definitions[name] = {}  # before its fields, which may refer to it
        definitions[name] = _record(kind, definitions)
    return {"$ref": f"#/$defs/{name}"}


def _record(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    text = inspect.cleandoc(kind.__doc__)
    summary, _, attributes = text.partition("Attributes:")
    words = {name: _one_line(found) for name, found in _ATTRIBUTE.findall(attributes)}
    properties: dict[str, Any] = {}
    required: list[str] = []
    for item in dataclasses.fields(kind):
        properties[item.name] = _type(hints[item.name], definitions)
        if item.name in words:
            properties[item.name] = {**properties[item.name], "description": words[item.name]}
        if item.default is not dataclasses.MISSING:
            properties[item.name] = {**properties[item.name], "default": to_json(item.default)}
        elif item.default_factory is not dataclasses.MISSING:
            properties[item.name] = {**properties[item.name], "default": to_json(item.default_factory())}
        else:
            required.append(item.name)
    return {
        "description": "\n\n".join(_one_line(part) for part in summary.strip().split("\n\n")),
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _one_line(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _type(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin = get_origin(kind)
    if origin is Annotated:
        base, *rules = get_args(kind)
        return _with_rules(_type(base, definitions), rules)
    if origin is Literal:
        choices = get_args(kind)
        return {"const": choices[0]} if len(choices) == 1 else {"enum": list(choices)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_type(member, definitions) for member in get_args(kind)]}
    if origin is tuple:
        return {"type": "array", "items": _type(get_args(kind)[0], definitions)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key, entry = get_args(kind)
        if entry is Any:
            return {"type": "object"}
        names = _type(key, definitions)
        return {"type": "object", "propertyNames": names, "additionalProperties": _type(entry, definitions)}
    if dataclasses.is_dataclass(kind):
        return _define(kind, definitions)
    return {"type": {str: "string", int: "integer", bool: "boolean", type(None): "null"}[kind]}


def _with_rules(schema: dict[str, Any], rules: list[object]) -> dict[str, Any]:
    for rule in rules:
        if isinstance(rule, Text):
            schema = {**schema, "pattern": rule.pattern, "minLength": 1, "maxLength": rule.longest}
        elif isinstance(rule, Range):
            schema = {**schema, "minimum": rule.low, "maximum": rule.high}
        elif isinstance(rule, Items):
            what = "Items" if schema["type"] == "array" else "Properties"
            schema = {**schema, f"min{what}": rule.fewest, f"max{what}": rule.most}
    return schema


def main() -> None:
    """Writes both files."""
    for name, kind in FILES.items():
        Path(__file__).with_name(name).write_bytes(readable_json(schema_of(kind)))


if __name__ == "__main__":
    main()
