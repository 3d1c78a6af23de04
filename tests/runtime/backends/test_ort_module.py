"""ONNX Runtime is imported in one place, which turns its telemetry off."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance.programs import PROGRAMS
from support.telemetry import Left, left_by
from v2v_runtime.backends.ort_module import import_onnxruntime

ROOT = Path(__file__).parents[3]
SOURCES = ("runtime", "plugins", "exporter", "benchmarks", "examples")
_IN_TEXT = re.compile(r"\b(import|from) onnxruntime\b")

PLAYING = """
import sys
import numpy as np
import v2v_runtime

bundle = v2v_runtime.Bundle.open(sys.argv[1])
stream = v2v_runtime.Stream(bundle, options={"threads": 1})
shown = [len(stream.push(np.full((2, 4, 3), 7, np.uint8))) for _ in range(2)]
assert shown == [1, 1], shown
"""


def imports(source: str) -> Iterator[int]:
    """Lines that import the package: as statements, by a call with its name, or in code kept as text."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found = any(name.name.split(".")[0] == "onnxruntime" for name in names)
            case ast.ImportFrom(module=str(module), level=0):
                found = module.split(".")[0] == "onnxruntime"
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                found = module.split(".")[0] == "onnxruntime"
            case ast.Constant(value=str(text)):
                found = _IN_TEXT.search(text) is not None
            case _:
                found = False
        if found:
            yield node.lineno


def test_no_other_file_imports_it() -> None:
    files = [path for folder in SOURCES for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 300
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in files
        for line in imports(path.read_text(encoding="utf-8"))
    }
    assert {place.split(":")[0] for place in found} == {"runtime/v2v_runtime/backends/ort_module.py"}


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    import onnxruntime as ort",
        "import onnx, onnxruntime.capi",
        "from onnxruntime import InferenceSession",
        "import importlib\nimportlib.import_module('onnxruntime')",
        "__import__('onnxruntime')",
        "subprocess.run(['python', '-c', 'import sys; import onnxruntime'])",
    ],
)
def test_imports_are_found(source: str) -> None:
    assert list(imports(source))


@pytest.mark.parametrize(
    "source",
    [
        "import onnx",
        "from v2v_runtime.backends.onnxruntime import Options",
        "name = 'onnxruntime'",
        "from . import x",
    ],
)
def test_other_lines_are_none(source: str) -> None:
    assert not list(imports(source))


def test_a_stream_leaves_nothing_behind_and_has_no_other_thread(tmp_path: Path) -> None:
    root = PROGRAMS["std"]().write(tmp_path / "bundle").root
    assert left_by(PLAYING, root, home=tmp_path / "home") == Left(1, "1", [])


def test_what_the_variable_says_already_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    import_onnxruntime()  # in this process it is off, whatever comes
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    import_onnxruntime()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"
