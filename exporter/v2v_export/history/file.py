"""A history file: JSON lines, one a run, only ever added to."""

from __future__ import annotations

import datetime
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from filelock import FileLock

from v2v_export.bench.statistics import P95_RUNS
from v2v_export.errors import RecipeError

SCHEMA = "v2v.history/3"

_KINDS: dict[str, tuple[type, ...]] = {
    "float": (int, float),
    "float | None": (int, float, type(None)),
    "int": (int,),
    "str": (str,),
    "tuple[str, ...]": (tuple,),
    "Mapping[str, str]": (dict,),
}
_FORM = re.compile(r"v2v\.history/(\d{1,6})")


@dataclass(frozen=True)
class Record:
    """One run of ``bench``.

    Attributes:
        time: ISO 8601, UTC.
        machine: what the hardware is (``Machine.hardware``).
        bundle, target: what was played; ``identity`` is the bundle's, and changes with the code.
        conditions: what was measured how (``BenchReport.conditions``): only runs that agree in all of it, and
            in machine, bundle and target, are comparable.
        turn: milliseconds per frame, what a trend is made of: the median over turns of whole periods, so that
            work on every third frame or after a picture counts, and a stall does not.
        p50, mean: milliseconds per frame, over all frames.
        p95: the same; None of fewer frames than ``P95_RUNS``, where it would be a few frames' own time.
        frames: that were measured.
        commit: the commit that was measured, where the caller names one.
        noise: why the machine was not fit to measure on, in words; empty if it was.
        versions: what ran on the hardware: a change of level says which of them changed with it.
    """

    time: str
    machine: str
    bundle: str
    target: str
    identity: str
    conditions: Mapping[str, str]
    turn: float
    p50: float
    p95: float | None
    mean: float
    frames: int
    commit: str = ""
    noise: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not isinstance(value, _KINDS[str(item.type)]) or isinstance(value, bool):
                raise ValueError(f"{item.name} = {value!r}")
            if isinstance(value, int | float) and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{item.name} = {value!r}")
            words = [*value, *value.values()] if isinstance(value, dict) else value
            if isinstance(words, list | tuple) and not all(isinstance(word, str) for word in words):
                raise ValueError(f"{item.name} = {value!r}")
        if self.p95 is not None and self.frames < P95_RUNS:
            raise ValueError(f"p95 = {self.p95!r} of {self.frames} frames, it needs {P95_RUNS}")
        datetime.datetime.fromisoformat(self.time)

    def unlike(self, other: Record) -> list[str]:
        """The names of what keeps two runs from being comparable, machine, bundle and target first."""
        first = ("machine", "bundle", "target")
        found = [name for name in first if getattr(self, name) != getattr(other, name)]
        names = dict.fromkeys((*self.conditions, *other.conditions))
        return found + [name for name in names if self.conditions.get(name) != other.conditions.get(name)]


def read_history(path: Path) -> list[Record]:
    """All runs in the file, oldest first.

    Raises:
        RecipeError: it cannot be read (V2V-E8211), a line is none of ours or is damaged (V2V-E8212), or is of
            another form, newer or older (V2V-E8213). The file is left as it is.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecipeError(
            "V2V-E8211",
            f"cannot read the history {path}: {reason}",
            "a file of JSON lines",
            "name another file",
        ) from None
    lines = text.split("\n")
    if lines[-1]:
        raise _damaged(path, len(lines), "it ends in mid-line")
    return [_record(path, number, line) for number, line in enumerate(lines[:-1], 1)]


def known_runs(path: Path) -> list[Record]:
    """What a file that is to be added to holds; nothing where it is not there yet.

    Raises:
        RecipeError: see ``read_history``; its folder is not there (V2V-E8211).
    """
    if not path.parent.is_dir():
        raise _unusable(path, "write", "its folder is not there")
    return read_history(path) if path.exists() else []


def append(path: Path, record: Record) -> list[Record]:
    """Adds a run, and returns all of them. What is there is read first: a damaged file is not added to.

    Raises:
        RecipeError: see ``read_history``; it cannot be written (V2V-E8211).
    """
    line = json.dumps({"schema": SCHEMA, **asdict(record)}, sort_keys=True, allow_nan=False) + "\n"
    known_runs(path)  # before the lock, which would make the folder
    try:
        with FileLock(path.with_name(f"{path.name}.lock")):
            known = known_runs(path)
            before = path.stat().st_size if path.exists() else 0
            with path.open("ab") as file:
                try:
                    file.write(line.encode())
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(before)
                    raise
    except OSError as error:
        raise _unusable(path, "write", str(error.strerror)) from None
    return [*known, record]


def _record(path: Path, number: int, line: str) -> Record:
    try:
        data: Any = json.loads(line)
    except ValueError:
        raise _damaged(path, number, f"{line[:60]!r} is no JSON") from None
    form = _FORM.fullmatch(str(data.get("schema"))) if isinstance(data, dict) else None
    if form is None:
        raise _damaged(path, number, f"{line[:60]!r} is no run")
    schema = data.pop("schema")
    if schema != SCHEMA:
        newer = int(form[1]) > int(SCHEMA.rpartition("/")[2])
        raise RecipeError(
            "V2V-E8213",
            f"{path.name}, line {number}: {schema}",
            SCHEMA,
            "update v2v-export, or name another file"
            if newer
            else "name another file: runs of that form lack what a trend is made of",
        )
    if isinstance(data.get("noise"), list):
        data["noise"] = tuple(data["noise"])
    try:
        return Record(**data)
    except (TypeError, ValueError) as error:
        raise _damaged(path, number, str(error)) from None


def _unusable(path: Path, doing: str, reason: str) -> RecipeError:
    seen = f"cannot {doing} the history {path}: {reason}"
    return RecipeError("V2V-E8211", seen, "a file of JSON lines", "name another file")


def _damaged(path: Path, number: int, seen: str) -> RecipeError:
    return RecipeError(
        "V2V-E8212",
        f"{path.name}, line {number}: {seen}",
        "one whole JSON object per line, as `v2v-export bench --history` writes them",
        "take the line out, or name another file; nothing was changed",
    )
