"""Manifests with one structural mistake, or none: what a seed makes of a valid one."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

from conformance.plain import Json

Path = tuple[str | int, ...]

#: What may come in a value's place: numbers at bounds, other types, names that mean something elsewhere.
VALUES: tuple[Any, ...] = (
    *(0, 1, -1, 2, 3, 4096, 4097, 2**31 - 1, 2**31, 2**40, 2**53, 2**53 + 1, 2**63 - 1, 0.5, 1.0),
    *(True, False, None, "", "x", "step", "frame_index", "a.count", "float", "float32", "uint8", "bool"),
    *("zeros", "forever", "run", "skip", "phase", "graphs/x.onnx", "é", "a\n", "A" * 65),
    *([], {}, [0], [1], ["x"], {"x": 1}, {"every": 2, "at": [1]}, {"changed": ["x"]}),
    *({"every": 3, "at": [0], "changed": ["x"]}, {"name": "x", "start": 0, "length": 1}),
)


def mutated(document: Json, chance: random.Random) -> Json:
    """A copy of ``document`` with one place removed, replaced, renamed, repeated or moved by one."""
    made = copy.deepcopy(document)
    places = list(_places(made))
    names = [place[-1] for place in places if isinstance(place[-1], str)]
    place = chance.choice(places)
    holder, key = _find(made, place[:-1]), place[-1]
    kind = chance.choice(("remove", "replace", "copy", "rename", "count", "name"))
    if kind == "remove":
        del holder[key]
    elif kind == "replace":
        holder[key] = copy.deepcopy(chance.choice(VALUES))
    elif kind == "copy":
        holder[key] = copy.deepcopy(_find(made, chance.choice(places)))
    elif kind == "rename" and isinstance(holder, dict):
        holder[chance.choice(names)] = holder.pop(key)
    elif kind == "rename":
        holder.append(copy.deepcopy(holder[key]))
    elif kind == "count" and isinstance(holder[key], int):
        holder[key] += chance.choice((-1, 1))
    else:
        holder[key] = chance.choice(names)
    return made


def _places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place below ``value``."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*path, key)
        yield from _places(value[key], (*path, key))


def _find(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value
