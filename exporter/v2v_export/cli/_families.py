"""Names that count up, written once: a UNet's caches are a hundred slots of one kind."""

from __future__ import annotations

import re
from collections.abc import Iterable

_COUNTED = re.compile(r"(.*\D)(\d+)(\[[^\]]*\])?")
_LEAST = 3


def families(names: Iterable[str]) -> list[str]:
    """``cross_k_00, cross_v_00, cross_k_01 ...`` as ``cross_k_00..15, cross_v_00..15``.

    Fewer than three of a kind, and numbers with a gap, stay as they are. The order is that of each kind's
    first name.
    """
    kinds: dict[tuple[str, str], list[str]] = {}
    for name in names:
        found = _COUNTED.fullmatch(name)
        key = (found[1], found[3] or "") if found else (name, "")
        kinds.setdefault(key, []).append(found[2] if found else "")
    told = []
    for (stem, view), numbers in kinds.items():
        first, last = numbers[0], numbers[-1]
        whole = len(numbers) >= _LEAST and [int(number or 0) for number in numbers] == list(
            range(int(first or 0), int(first or 0) + len(numbers))
        )
        told += [f"{stem}{first}..{last}{view}"] if whole else [f"{stem}{number}{view}" for number in numbers]
    return told
