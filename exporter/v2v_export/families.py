"""Names that count up, written once: a UNet's caches are a hundred slots of one kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_COUNTED = re.compile(r"(.*\D)(\d+)(\[[^\]]*\])?")
_LEAST = 3


def families(names: Iterable[str]) -> dict[str, list[str]]:
    """``cross_k_00, cross_v_00, cross_k_01 ...`` as ``cross_k_00..15``, ``cross_v_00..15``, with their names.

    Fewer than three in a row stay as they are. The order is that of each kind's first name.
    """
    kinds: dict[tuple[str, str], list[str]] = {}
    for name in names:
        found = _COUNTED.fullmatch(name)
        key = (found[1], found[3] or "") if found else (name, "")
        kinds.setdefault(key, []).append(found[2] if found else "")
    told: dict[str, list[str]] = {}
    for (stem, view), numbers in kinds.items():
        for run in _runs(numbers):
            each = [f"{stem}{number}{view}" for number in run]
            if len(run) >= _LEAST:
                told[f"{stem}{run[0]}..{run[-1]}{view}"] = each
            else:
                told.update((name, [name]) for name in each)
    return told


def _runs(numbers: list[str]) -> Iterator[list[str]]:
    """Neighbours that count up by one; what is no number stands alone."""
    run: list[str] = []
    for number in numbers:
        if run and not (run[-1] and number and int(number) == int(run[-1]) + 1):
            yield run
            run = []
        run.append(number)
    yield run
