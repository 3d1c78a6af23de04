"""Plain JSON values for the corpus: written by hand, every default left out, no code under test used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

IDENTITY_KEYS = ("schema", "graphs", "variants", "program", "selftest", "files")


def canonical(value: Any) -> bytes:
    """The canonical form of a value that holds no defaults."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode() + b"\n"


def identity(document: Json) -> str:
    """The identity of a manifest that holds no defaults."""
    return hashlib.sha256(canonical({k: document[k] for k in IDENTITY_KEYS if k in document})).hexdigest()


def tensor(dtype: str, *shape: int) -> Json:
    return {"dtype": dtype, "shape": list(shape)}


def blob(name: str, file: str = "blobs/tables.safetensors") -> Json:
    return {"file": file, "tensor": name}


def view(name: str, start: int, length: int = 1) -> Json:
    return {"name": name, "start": start, "length": length}


def graph(inputs: Json, outputs: Json, **more: Any) -> Json:
    return {"inputs": inputs, "outputs": outputs, **more}


def call(name: str, inputs: Json, outputs: Json, graph: str | None = None, **more: Any) -> Json:
    return {"name": name, "graph": graph or name, "inputs": inputs, "outputs": outputs, **more}


FRAME = tensor("uint8", 1, 4, 6, 3)
VIDEO = {"video": {"height": 4, "width": 6}}


def program(phases: list[Json], max_frames: int = 1, **more: Any) -> Json:
    return {"inputs": VIDEO, "outputs": VIDEO, "phases": phases, "max_frames": max_frames, **more}


def bundle(name: str, graphs: Json, program: Json, variants: Json | None = None, **more: Any) -> Json:
    """A whole manifest; files are listed for every path in it, with the hash of the path for a hash."""
    variants = variants or {
        "main": {"float": "float32", "graphs": {each: f"graphs/{each}.onnx" for each in graphs}}
    }
    document: Json = {
        "schema": "v2v.bundle/1",
        "name": name,
        "system": "synthetic",
        "graphs": graphs,
        "variants": variants,
        "program": program,
        **more,
    }
    paths = set(_paths(document))
    document["files"] = [
        {"path": path, "size": len(path), "sha256": hashlib.sha256(path.encode()).hexdigest()}
        for path in sorted(paths)
    ]
    document["identity"] = identity(document)
    return document


def _paths(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.startswith(("graphs/", "blobs/")):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from _paths(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _paths(entry)
