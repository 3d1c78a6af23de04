"""What the C++ runtime's fuzzers get: documents, bundle folders as ``fuzz_bundle.cpp`` has them, options."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from conformance.programs import PROGRAMS
from safetensors.numpy import save
from support.bundles import write_sample

MANIFESTS = Path(__file__).parents[1] / "conformance" / "manifests"
DICTIONARY = Path(__file__).parents[2] / "runtime" / "cpp" / "tests" / "fuzz.dict"

OPTIONS = (
    f"-dict={DICTIONARY}",
    "-max_len=262144",
    "-malloc_limit_mb=256",
    "-rss_limit_mb=2048",  # of the process with its sanitizers; what an input may take, the program counts
    "-timeout=120",  # of the clock, for inputs that do not end; what an input may take, the program counts
)
"""libFuzzer's, for every run."""
ENVIRONMENT = {
    "ASAN_OPTIONS": f"quarantine_size_mb=64:external_symbolizer_path={shutil.which('addr2line') or ''}"
}
"""AddressSanitizer's: less memory kept for freed blocks; binutils name the functions of a report."""

WRONG_FILES, WRONG_IDENTITY, WRONG_SEAL, TRUST_SIZES = 1, 2, 4, 8
"""What the fuzzer leaves as the input has it, and how it opens the bundle: bits of an input's first byte."""


DTYPES = ("?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")


def document_inputs() -> Iterator[bytes]:
    """Every manifest and target of the corpus, right and wrong, files of safetensors, and their headers."""
    for path in sorted([*MANIFESTS.glob("*/*.json"), *MANIFESTS.glob("targets/*/*.json")]):
        yield path.read_bytes()
    empty = {dtype: np.zeros((2, 0), dtype) for dtype in DTYPES}
    full = {dtype: np.ones((3, 1, 2), dtype) for dtype in DTYPES}
    for tensors in ({}, empty, full):
        file = save(tensors, {"made": "here"})
        yield file
        yield file[8 : 8 + int.from_bytes(file[:8], "little")]


def folder_input(root: Path, flags: int = 0, links: Iterable[str] = ()) -> bytes:
    """The input that lays out the files of ``root``, with ``links`` as ``fuzz_bundle.cpp`` writes them."""
    made = bytes([flags])
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix != ".sha256":
            made += f"%% {path.relative_to(root)}\n".encode() + path.read_bytes() + b"\n"
    return made + "".join(f"%% {link}\n\n" for link in links).encode()


def folder_inputs(folder: Path) -> Iterator[bytes]:
    """Bundles of every synthetic program and of the sample, as they are and in every way that flags have.

    Args:
        folder: an empty one, for the bundles.
    """
    for name, make in PROGRAMS.items():
        yield folder_input(make().write(folder / name).root)
    sample = write_sample(folder / "sample").root
    for flags in range(16):
        yield folder_input(sample, flags)
    links = (
        "graphs/more.onnx -> tint.onnx",
        "blobs/same = blobs/tables.safetensors",
        "targets/empty/",
        "other",
    )
    for link in links:
        yield folder_input(sample, 0, [link])
    for path in sorted((MANIFESTS / "valid").glob("*.json")):
        yield from _from_manifest(path)


def _from_manifest(path: Path) -> Iterator[bytes]:
    """A valid manifest of the corpus with files of its names."""
    text = path.read_bytes()
    yield manifest_input(text, json.loads(text)["files"])


def manifest_input(text: bytes, files: Iterable[dict[str, Any]]) -> bytes:
    """A manifest with files of the names that it lists; graphs need no content that anybody reads."""
    made = b"\0%% bundle.json\n" + text + b"\n"
    for entry in files:
        data = save({}) if entry["path"].endswith(".safetensors") else b"a graph"
        made += f"%% {entry['path']}\n".encode() + data + b"\n"
    return made
