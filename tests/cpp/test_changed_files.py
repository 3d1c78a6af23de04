"""Files that are exchanged or changed once a bundle is open: C++ and Python find the same."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance.programs import PROGRAMS
from conformance.programs.base import HEIGHT, WIDTH
from conformance.programs.shortcut import shortcut_v2v
from support.both import OPTIONS, Both
from support.bundles import make_bundle, make_manifest
from support.cpp import CppError, CppStream, Library
from support.swapped import write_swapped
from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import V2VError
from v2v_runtime.manifest.model import BlobRef, SelfTest
from v2v_runtime.stream import Stream


class Opened:
    """One bundle, open in both languages."""

    def __init__(self, library: Library, root: Path) -> None:
        self.bundle = Bundle.open(root)
        self._library = library
        self._handle = library.open(root)

    def codes(self, **choice: str) -> tuple[str, str]:
        """What a stream of each gives, Python's first; empty: it was made."""
        found = []
        makers: tuple[Callable[[], Stream | CppStream], ...] = (
            lambda: Stream(self.bundle, options=OPTIONS, **choice),
            lambda: CppStream(self._library, self._handle, options=json.dumps(OPTIONS), **choice),
        )
        for make in makers:
            try:
                make().close()
                found.append("")
            except (V2VError, CppError) as error:
                found.append(error.code)
        python, cpp = found
        return python, cpp

    def close(self) -> None:
        assert self._library.destroy("bundle", self._handle) == 0


@pytest.fixture
def opened(library: Library, tmp_path: Path) -> Iterator[Opened]:
    made = Opened(library, PROGRAMS["stream_diffusion"]().write(tmp_path / "bundle").root)
    yield made
    made.close()


@pytest.mark.parametrize("choice", [{"variant": ""}, {"variant": "none"}, {"target": ""}])
def test_an_empty_name_is_no_name(choice: dict[str, str], opened: Opened) -> None:
    code = "V2V-E1020" if "target" in choice else "V2V-E4015"
    assert opened.codes(**choice) == (code, code)


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def copy_back(path: Path) -> None:
    """As a synchronising program does: the same bytes under the same name, another file."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def link(path: Path) -> None:
    aside = path.parent.parent.parent / "aside"
    path.rename(aside)
    path.symlink_to(aside)


@pytest.mark.parametrize("file", ["graphs/decode.onnx", "blobs/tables.safetensors"])
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (touch, ""),
        (copy_back, ""),
        (flip, "V2V-E1012"),
        (shorten, "V2V-E1011"),
        (Path.unlink, "V2V-E1010"),
        (link, "V2V-E1014"),
    ],
)
def test_a_file_that_changes_once_the_bundle_is_open(
    change: Callable[[Path], None], code: str, file: str, opened: Opened
) -> None:
    path = opened.bundle.root / file
    good = path.read_bytes()
    assert opened.codes() == ("", "")
    change(path)
    assert opened.codes() == (code, code)
    path.unlink(missing_ok=True)
    path.write_bytes(good)
    assert opened.codes() == ("", "")


@pytest.mark.parametrize(
    "other",
    [
        {
            "input": np.zeros((5, WIDTH, HEIGHT, 3), np.uint8),
            "output": np.zeros((5, HEIGHT, WIDTH, 3), np.uint8),
        },
        {
            "input": np.zeros((5, HEIGHT, WIDTH, 3), np.uint8),
            "output": np.zeros((5, HEIGHT, WIDTH, 3), np.int8),
        },
        {
            "input": np.zeros((5, HEIGHT, WIDTH, 3), np.uint8),
            "output": np.zeros((5, HEIGHT, WIDTH), np.uint8),
        },
    ],
    ids=["size", "type", "rank"],
)
def test_frames_of_a_selftest_that_were_exchanged(
    other: dict[str, Any], library: Library, tmp_path: Path
) -> None:
    """The stream goes on as if it had not been asked, and its trace says nothing."""
    synthetic, file, root = shortcut_v2v("shortcut"), "blobs/selftest.safetensors", tmp_path / "bundle"
    test = SelfTest(BlobRef(file, "input"), BlobRef(file, "output"), {"float32": 0})
    pictures = np.zeros((5, HEIGHT, WIDTH, 3), np.uint8)
    swapped = write_swapped(
        root,
        make_manifest(synthetic.program, synthetic.graphs(), selftest=test),
        {f"graphs/{name}.onnx": data for name, data in synthetic.onnx().items()},
        {file: {"input": pictures, "output": pictures}},
        file,
        other,
    )
    both = Both(library, Bundle.open(root, verify="sizes"), trusting=True)
    (root / file).write_bytes(swapped)
    for index in range(5):
        if index == 3:
            both.do(both.python.selftest, both.cpp.selftest)
        assert both.push(np.full((HEIGHT, WIDTH, 3), index, np.uint8)) is not None
    assert both.codes == ["V2V-E4014"]
    both.close()


def test_a_reset_to_defaults_that_cannot_be_read_changes_nothing(library: Library, tmp_path: Path) -> None:
    """Params lie in two files, because the file read last is remembered."""
    synthetic, root = PROGRAMS["stream_diffusion"](), tmp_path / "bundle"
    files = ("blobs/tables.safetensors", "blobs/prompt.safetensors")
    prompt = synthetic.program.params["prompt"]
    moved = dataclasses.replace(prompt, default=BlobRef(files[1], "prompt"))
    program = dataclasses.replace(synthetic.program, params={**synthetic.program.params, "prompt": moved})
    default = {"prompt": synthetic.blobs[prompt.default.tensor]}
    manifest = make_manifest(program, synthetic.graphs())
    blobs = dict(zip(files, (synthetic.blobs, default), strict=True))
    both = Both(library, make_bundle(root, manifest, synthetic.onnx(), blobs))
    both.do(
        lambda: both.python.set_params(guidance=np.ones(1, np.float32)),
        lambda: both.cpp.set_params({"guidance": np.ones(1, np.float32)}),
    )

    def push(count: int) -> None:
        for index in range(count):
            both.push(np.full((HEIGHT, WIDTH, 3), index, np.uint8))

    push(6)
    owed = both.owed()
    good = {name: (root / name).read_bytes() for name in files}
    for name in files:
        flip(root / name)
    both.do(lambda: both.python.reset(params=True), lambda: both.cpp.reset(True))
    assert both.codes == ["V2V-E1012"]
    assert both.owed() == owed > 0
    push(6)
    for name, data in good.items():
        (root / name).write_bytes(data)
    both.do(lambda: both.python.reset(params=True), lambda: both.cpp.reset(True))
    push(6)
    both.flush()
    both.close()
