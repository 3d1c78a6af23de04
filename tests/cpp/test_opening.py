"""What is looked for and listed when a bundle is opened, and once it is: the same in both languages."""

from __future__ import annotations

import ctypes as c
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conformance.programs import PROGRAMS
from support.both import OPTIONS
from support.cpp import BundleInfo, CppError, CppStream, Library, refused
from support.standins import build_standin
from v2v_runtime.blobs import encode_safetensors, parse_header, parse_safetensors
from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import sealed_manifest
from v2v_runtime.errors import BundleError, V2VError
from v2v_runtime.manifest.encode import readable_json, to_json
from v2v_runtime.seal import seal_of, seal_path
from v2v_runtime.stream import Stream

READDIR = Path(__file__).parent / "readdir_standin.c"
BLOBS = "blobs/tables.safetensors"

#: Opens the bundle ``argv[2]`` with the library ``argv[1]``, then lists its targets and opens it again while
#: listing them does what ``argv[3]`` says.
LISTING = """
import ctypes, json, os, sys
from pathlib import Path
from support.cpp import BundleInfo, CppError, Library
from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import V2VError

library, root = Library(Path(sys.argv[1])), Path(sys.argv[2])
python, cpp = Bundle.open(root), library.open(root)

def count():
    info = BundleInfo()
    library.call("bundle_get_info", cpp, ctypes.byref(info))
    return info.target_count

def answer(ask):
    try:
        return ask()
    except (V2VError, CppError) as error:
        return error.code

os.environ["READDIR"] = sys.argv[3]
print(json.dumps({
    "listed": [answer(lambda: len(python.targets())), answer(count)],
    "opened": [answer(lambda: Bundle.open(root) and ""), answer(lambda: library.open(root) and "")],
}))
"""


def test_an_empty_path_is_no_folder(library: Library, bundles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the current folder, which is a bundle here: somebody forgot to name one."""
    root = bundles("std").root
    monkeypatch.chdir(root)
    assert refused(lambda: library.call("bundle_open", None, b"", 0, c.byref(c.c_void_p()))) == "V2V-E1001"
    with pytest.raises(BundleError, match="V2V-E1001"):
        Bundle.open("")
    assert library.destroy("bundle", library.open(Path("."))) == 0
    assert Bundle.open(".").root == root


@pytest.mark.parametrize("within", ["", "bundle.json"])
def test_a_path_that_the_system_does_not_look_at(within: str, library: Library, tmp_path: Path) -> None:
    """A name longer than any: whether there is something is not known."""
    path = str(tmp_path / ("a" * 300) / within)
    with pytest.raises(CppError, match=r"V2V-E1004.*File name too long"):
        library.open(Path(path))
    with pytest.raises(BundleError, match=r"V2V-E1004.*File name too long"):
        Bundle.open(path)


def test_a_file_that_cannot_be_read(library: Library) -> None:
    """A process's memory has nothing at its beginning."""
    memory = Path("/proc/self/mem")
    if not memory.is_file():
        pytest.skip("no /proc")
    assert refused(lambda: library.open(memory)) == "V2V-E1004"
    with pytest.raises(BundleError, match=r"V2V-E1004.*Input/output error"):
        Bundle.open(memory)


def link(path: Path) -> None:
    path.symlink_to("/nowhere")


def name_twice(path: Path) -> None:
    path.write_text("not whole yet")
    os.link(path, path.parent.parent.parent / "another-name")


@pytest.mark.parametrize("unfinished", [link, name_twice])
def test_what_a_writer_has_not_finished_is_no_target(
    unfinished: Callable[[Path], None], library: Library, tmp_path: Path
) -> None:
    root = PROGRAMS["std"]().write(tmp_path / "bundle").root
    python, cpp = Bundle.open(root), library.open(root)
    (root / "targets").mkdir()
    unfinished(root / "targets" / ".tmp-x")
    assert list(python.targets()) == []
    info = BundleInfo()
    library.call("bundle_get_info", cpp, c.byref(info))
    assert info.target_count == 0
    Stream(python, options=OPTIONS).close()
    CppStream(library, cpp, options=json.dumps(OPTIONS)).close()
    assert library.destroy("bundle", cpp) == 0


@pytest.mark.parametrize(
    ("mode", "listed", "opened"), [("", 1, ""), ("gone", 2, ""), ("broken", "V2V-E1004", "V2V-E1004")]
)
def test_a_folder_that_changes_or_fails_while_it_is_listed(
    mode: str,
    listed: int | str,
    opened: str,
    library: Library,
    cpp_build: Path,
    cmake_cache: dict[str, str],
    tmp_path: Path,
) -> None:
    """``gone``: a name is read that stands for nothing then. ``broken``: names cannot be read to the end."""
    root = PROGRAMS["std"]().write(tmp_path / "bundle").root
    (root / "targets" / "one.onnxruntime").mkdir(parents=True)
    standin = build_standin(cmake_cache["CMAKE_C_COMPILER"], READDIR, tmp_path / "readdir.so")
    done = subprocess.run(
        [sys.executable, "-c", LISTING, cpp_build / "libv2v_runtime.so", root, mode],
        # A sanitizer's library stays the first.
        env={
            **os.environ,
            "LD_PRELOAD": f"{os.environ.get('LD_PRELOAD', '')}:{standin}",
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"listed": [listed, listed], "opened": [opened, opened]}


def test_a_bool_tensor_that_nothing_names_holds_0_and_1_too(library: Library, tmp_path: Path) -> None:
    bundle = PROGRAMS["stream_diffusion"]().write(tmp_path / "bundle")
    tensors = {
        name: tensor.copy() for name, tensor in parse_safetensors((bundle.root / BLOBS).read_bytes()).items()
    }
    data = bytearray(encode_safetensors({**tensors, "unused": np.ones(2, np.bool_)}))
    entries, start = parse_header(bytes(data), len(data), BLOBS)
    data[start + entries["unused"].begin] = 2
    (bundle.root / BLOBS).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    files = [
        dataclasses.replace(entry, sha256=digest, size=len(data)) if entry.path == BLOBS else entry
        for entry in bundle.manifest.files
    ]
    manifest = readable_json(to_json(sealed_manifest(bundle.manifest, files)))
    (bundle.root / "bundle.json").write_bytes(manifest)
    (bundle.root / seal_path("bundle.json")).write_bytes(seal_of("bundle.json", manifest))
    with pytest.raises(V2VError, match="V2V-E1033"):
        Stream(Bundle.open(bundle.root), options=OPTIONS)
    handle = library.open(bundle.root)
    with pytest.raises(CppError) as caught:
        CppStream(library, handle, options=json.dumps(OPTIONS))
    assert caught.value.code == "V2V-E1033"
    assert library.destroy("bundle", handle) == 0
