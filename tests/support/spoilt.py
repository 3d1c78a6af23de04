"""Plain JSON documents with random mistakes in them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

STRANGE = [
    None,
    True,
    0,
    1,
    -1,
    3,
    2**40,
    2**62,
    0.5,
    "",
    "step",
    "video",
    "out",
    "zeros",
    "forever",
    [],
    {},
    [0],
    [1],
]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(holder, key) of every value in a document."""
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, entry in entries:
        yield value, key
        yield from places(entry)


def spoil(document: Any, chance: random.Random) -> None:
    """Removes, replaces, copies or renames one value of the document."""
    holder, key = chance.choice(list(places(document)))
    other, other_key = chance.choice(list(places(document)))
    action = chance.randrange(4)
    if action == 0:
        del holder[key]
    elif action == 1:
        holder[key] = chance.choice(STRANGE)
    elif action == 2:
        holder[key] = json.loads(json.dumps(other[other_key]))
    elif isinstance(holder, list):
        holder.insert(key, json.loads(json.dumps(holder[key])))
    else:
        holder[chance.choice(["x", "name", "late", "when"])] = holder.pop(key)


def shuffled(value: Any, chance: random.Random) -> Any:
    """The same document with the keys of every object in another order."""
    if isinstance(value, list):
        return [shuffled(entry, chance) for entry in value]
    if not isinstance(value, dict):
        return value
    keys = list(value)
    chance.shuffle(keys)
    return {key: shuffled(value[key], chance) for key in keys}
