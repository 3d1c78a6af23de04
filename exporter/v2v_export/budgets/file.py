"""``v2v-budgets.toml``: the numbers that a change has to answer for, one line each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from v2v_runtime.atomic import write_file

from v2v_export.errors import RecipeError

SCHEMA = 1
HEADER = (
    "Exact counters of built bundles; `v2v-export budgets BUNDLE --write` changes a line, review decides."
)

Budgets = dict[str, dict[str, dict[str, int]]]
"""Bundle -> section (see ``counted``) -> counter -> number."""


def read_budgets(path: Path) -> Budgets:
    """Reads the file.

    Raises:
        RecipeError: it cannot be read or is no TOML (V2V-E5301), comes from a newer version (V2V-E5302), or
            holds something else than numbers where they belong (V2V-E5303).
    """
    document = _document(path)
    schema = document.get("schema")
    if schema != SCHEMA:
        raise RecipeError(
            "V2V-E5302",
            f"{path.name}: schema = {schema!r}",
            f"schema = {SCHEMA}",
            "update v2v-export; or move it away, and `v2v-export budgets BUNDLE --write` makes a new one",
        )
    budgets: Budgets = {}
    for bundle, sections in document.items():
        if bundle == "schema":
            continue
        budgets[bundle] = {}
        for section, counters in _table(path, bundle, sections).items():
            table = _table(path, f"{bundle}.{section}", counters)
            for counter, value in table.items():
                if type(value) is not int:
                    raise _wrong(path, f"{bundle}.{section}.{counter} = {value!r}", "a whole number")
            budgets[bundle][section] = dict(table)
    return budgets


def write_budgets(path: Path, bundle: str, counted: Mapping[str, Mapping[str, int]]) -> None:
    """Puts the numbers of one bundle into the file, keeping comments and what it says of other bundles.

    Raises:
        RecipeError: what is there is no budgets file; see ``read_budgets``.
        BundleError: it cannot be written (V2V-E1051).
    """
    if path.exists():
        read_budgets(path)
        document = _document(path)
    else:
        document = tomlkit.document()
        document.add(tomlkit.comment(HEADER))
        document["schema"] = SCHEMA
    sections = document.get(bundle)
    if sections is None:
        sections = document[bundle] = tomlkit.table(is_super_table=True)
    for gone in [name for name in sections if name not in counted]:
        del sections[gone]
    for name, counters in counted.items():
        if name not in sections:
            sections[name] = tomlkit.table()
        table = sections[name]
        for gone in [key for key in table if key not in counters]:
            del table[gone]
        for key, value in counters.items():
            if table.get(key) != value:
                table[key] = value
    write_file(path, tomlkit.dumps(document).encode())


def _document(path: Path) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecipeError(
            "V2V-E5301",
            f"cannot read the budgets {path}: {reason}",
            "a TOML file",
            "correct it; or move it away, and `v2v-export budgets BUNDLE --write` makes a new one",
        ) from None


def _table(path: Path, where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(path, f"{where} = {value!r}", "a table")
    plain: Mapping[str, Any] = value.unwrap() if hasattr(value, "unwrap") else value
    return plain


def _wrong(path: Path, seen: str, expected: str) -> RecipeError:
    return RecipeError("V2V-E5303", f"{path.name}: {seen}", expected, "correct the line")
