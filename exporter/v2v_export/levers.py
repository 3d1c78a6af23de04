"""Levers: options that make a stream need less of a GPU's memory, marked where they are declared.

A refusal for want of memory names them; nothing else knows what an option does.

>>> class Options:
...     rows: int = lever(2, "state", advice="fewer rows", spent=lambda rows: rows == 1)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal

Part = Literal["weights", "activations", "state", "temporaries"]
"""What a stream holds on the device: constants of its engines, their scratch, slots with params and consts,
and what lives for one step."""

_KEY = "v2v_export.lever"


@dataclass(frozen=True)
class _Lever:
    parts: tuple[Part, ...]
    advice: str
    spent: Callable[[Any], bool]


def lever(default: Any, *parts: Part, advice: str, spent: Callable[[Any], bool]) -> Any:
    """A field of a system's options, with its default, whose other values need less memory.

    Args:
        parts: what becomes less.
        advice: what to set, with the option's name as a recipe writes it.
        spent: whether a value leaves nothing more to gain.
    """
    return field(default=default, metadata={_KEY: _Lever(parts, advice, spent)})


def levers(options: Any) -> dict[Part, list[str]]:
    """Part -> what to set in ``[options]``, in the order of the fields; levers that are spent are left out.

    Args:
        options: an instance of ``System.options``.
    """
    found: dict[Part, list[str]] = {}
    for item in fields(options):
        marked = item.metadata.get(_KEY)
        if isinstance(marked, _Lever) and not marked.spent(getattr(options, item.name)):
            for part in marked.parts:
                found.setdefault(part, []).append(marked.advice)
    return found
