"""The record of one run: a JSON document that says on what it was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from v2v_export.bench.machine import this_machine
from v2v_export.provenance import exporter_digest
from v2v_export.registry import code_digest, find_system
from v2v_runtime.atomic import write_file

from _real.case import Case
from _real.findings import Part

SCHEMA = "v2v.measurement/1"


def machine() -> dict[str, Any]:
    """Hardware and versions; no name of a host, no path."""
    this = this_machine()
    told = asdict(this)
    # A kernel's release names its vendor's machine, and says nothing of speed.
    told["system"] = " ".join(told["system"].split()[::2])
    told["gpus"] = list(this.gpus)
    return told


def write(path: Path, case: Case, about: Mapping[str, Any], parts: Mapping[str, Part]) -> None:
    """Writes the record, whole or not at all.

    Args:
        case: of the parts that have none of their own.
        about: ``machine()``, taken before anything was measured: its load is the load of others.
        parts: at least one. The record's head says what was measured, or each part where they differ.
    """
    heads = {name: _head(part, case) for name, part in parts.items()}
    first, *others = heads.values()
    one = all(head == first for head in others)
    system = first if one else {"system": None, "case": None, "code": {}}
    document = {
        "schema": SCHEMA,
        "name": "real-size",
        **system,
        "machine": dict(about),
        "code": {"exporter": exporter_digest(), **system["code"]},
        "parts": {name: {**({} if one else heads[name]), **part.as_dict()} for name, part in parts.items()},
    }
    write_document(path, document)


def _head(part: Part, case: Case) -> dict[str, Any]:
    """System, case and the digest of the system's code."""
    name = part.system or "shortcut_v2v"
    of = case.as_dict() if part.case is None else dict(part.case)
    return {"system": name, "case": of, "code": {"system": code_digest(find_system(name))}}


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Writes a JSON document, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
