"""What both languages say: the same words, of what was seen, and no control of somebody else's in them."""

from __future__ import annotations

import ctypes as c
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conformance.programs import PROGRAMS
from support.both import Both
from support.bundles import make_bundle, make_manifest, make_target
from support.cpp import LOG, BundleInfo, ContextOptions, CppError, CppStream, Error, Library
from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import write_target
from v2v_runtime.errors import V2VError
from v2v_runtime.manifest.model import BlobRef
from v2v_runtime.seal import seal_of
from v2v_runtime.stream import Stream

MANIFESTS = Path(__file__).parents[1] / "conformance" / "manifests"

EVIL = "a\n[V2V-OK] trusted\t\x1b[2J\x7f\x85\\b"
"""Would write a line of its own and clear the terminal."""


def words(call: Callable[[], object]) -> str:
    """What a call is refused with."""
    with pytest.raises((V2VError, CppError)) as caught:
        call()
    return str(caught.value)


def opened(library: Library, root: Path) -> tuple[str, str]:
    """What Python and C++ say of a bundle that is not right."""
    return words(lambda: Bundle.open(root)), words(lambda: library.open(root))


def is_tame(text: str) -> bool:
    """Printable, but for the breaks of its own lines: what was seen, what was expected, what to do."""
    first, *rest = text.split("\n")
    own = all(line.startswith(("  expected: ", "  to do: ")) for line in rest)
    return first.startswith("[V2V-E") and own and all(line.isprintable() for line in (first, *rest))


def manifest_with(root: Path, old: str, new: str) -> None:
    """A sealed manifest with this change; nothing else of a bundle."""
    text = (MANIFESTS / "valid" / "minimal.json").read_text("utf-8")
    assert old in text
    data = text.replace(old, new, 1).encode()
    root.mkdir()
    (root / "bundle.json").write_bytes(data)
    (root / "bundle.sha256").write_bytes(seal_of("bundle.json", data))


@pytest.mark.parametrize("kind", ["file", "link", "title", "key"])
def test_names_in_a_bundle_are_told_without_their_controls(
    kind: str, library: Library, bundles: Callable[[str], Bundle], tmp_path: Path
) -> None:
    root, escaped = tmp_path / "bundle", json.dumps(EVIL)[1:-1]
    if kind == "title":
        manifest_with(root, '"name": "', f'"name": "{escaped}')
    elif kind == "key":
        manifest_with(root, "{", f'{{"{escaped}": 1, ')
    else:
        shutil.copytree(bundles("std").root, root)
        evil = root / "graphs" / EVIL
        evil.symlink_to("/nowhere") if kind == "link" else evil.touch()
    python, cpp = opened(library, root)
    assert "trusted\\t\\x1b[2J\\x7f\\x85" in cpp
    assert is_tame(cpp), cpp
    assert is_tame(python), python
    if kind == "link":  # the one kind that is not quoted
        assert cpp == python
    else:
        assert cpp.split("\n")[0] == python.split("\n")[0]


def test_names_of_targets_are_listed_without_their_controls(library: Library, tmp_path: Path) -> None:
    root = PROGRAMS["std"]().write(tmp_path / "bundle").root
    write_target(root, make_target())
    (root / "targets" / EVIL).mkdir()
    handle = library.open(root)
    cpp = words(lambda: CppStream(library, handle, target="none"))
    python = words(lambda: Bundle.open(root).target("none"))
    assert library.destroy("bundle", handle) == 0
    for told in (python, cpp):
        assert told.startswith("[V2V-E1020]")
        assert "trusted\\t\\x1b[2J\\x7f\\x85" in told
        assert is_tame(told), told


def test_what_is_logged_is_utf8_without_controls(
    library: Library, bundles: Callable[[str], Bundle], tmp_path: Path
) -> None:
    """Of a bundle whose folder has such a name, in every level."""
    root = tmp_path.joinpath("name").as_posix().encode() + b"\xff\x1b[2J\n"
    shutil.copytree(bundles("std").root, root.decode(errors="surrogateescape"))
    told: list[bytes] = []
    log = LOG(lambda _, level, line: told.append(line))
    context, handle, stream = c.c_void_p(), c.c_void_p(), c.c_void_p()
    library.call("context_create", c.byref(ContextOptions(log=log)), c.byref(context))
    library.call("bundle_open", context, root, 0, c.byref(handle))
    library.call("stream_create", handle, None, c.byref(stream))
    words(lambda: library.call("stream_enter", stream, b"a\xff\x1b"))
    for kind, each in (("stream", stream), ("bundle", handle), ("context", context)):
        assert library.destroy(kind, each) == 0
    assert len(told) == 3
    for line in told:
        assert "�" in line.decode()
        assert all(part.isprintable() for part in line.decode().split("\n  ")), line
    assert told[0].decode().endswith("name�\\x1b[2J\\n")


SAME = (
    "files_differ_in_case",
    "files_file_is_folder",
    "forever_in_first_phase",
    "frames_too_large",
    "last_phase_ends",
    "name_of_two_phases",
    "rows_buckets_fall",
    "rows_override_falls",
    "slot_too_large",
    "tensor_overflows",
    "title_with_newline",
    "type_number_for_when",
    "type_object_for_array",
)


@pytest.mark.parametrize("name", SAME)
def test_the_same_mistake_is_told_in_the_same_words(name: str, library: Library, tmp_path: Path) -> None:
    data = (MANIFESTS / "invalid" / f"{name}.json").read_bytes()
    (tmp_path / "bundle.json").write_bytes(data)
    (tmp_path / "bundle.sha256").write_bytes(seal_of("bundle.json", data))
    python, cpp = opened(library, tmp_path)
    assert cpp == python


def test_params_are_listed_in_one_order(library: Library, bundles: Callable[[str], Bundle]) -> None:
    """Whatever the order in which the program declares them."""
    both = Both(library, bundles("stream_diffusion"))
    nothing = {"nothing": np.zeros(1, np.float32)}
    cpp, python = words(lambda: both.cpp.set_params(nothing)), words(lambda: both.python.set_params(nothing))
    assert "one of abc, guidance, prompt" in cpp
    assert cpp == python
    both.close()


def test_variants_are_listed_in_one_order(library: Library, bundles: Callable[[str], Bundle]) -> None:
    bundle = bundles("live2diff")
    handle = library.open(bundle.root)
    cpp = words(lambda: CppStream(library, handle, variant="none"))
    assert library.destroy("bundle", handle) == 0
    assert "one of in-place, main" in cpp
    assert cpp == words(lambda: Stream(bundle, variant="none"))


def test_defaults_are_read_in_one_order(library: Library, tmp_path: Path) -> None:
    """``prompt``, declared first, in a file that was changed; the others in one that is gone: the first by
    name is told."""
    synthetic = PROGRAMS["stream_diffusion"]()
    params = dict(synthetic.program.params)
    assert list(params) != sorted(params)
    default = BlobRef("blobs/prompt.safetensors", "prompt")
    params["prompt"] = dataclasses.replace(params["prompt"], default=default)
    program = dataclasses.replace(synthetic.program, params=params)
    blobs = {"blobs/tables.safetensors": synthetic.blobs, default.file: {"prompt": synthetic.blobs["prompt"]}}
    manifest = make_manifest(program, synthetic.graphs())
    bundle = make_bundle(tmp_path / "bundle", manifest, synthetic.onnx(), blobs)
    both = Both(library, bundle)
    changed = bundle.root / default.file
    changed.write_bytes(changed.read_bytes()[:-1] + b"\xff")
    (bundle.root / "blobs/tables.safetensors").unlink()
    both.do(lambda: both.python.reset(params=True), lambda: both.cpp.reset(params=True))
    assert both.codes == ["V2V-E1010"]
    both.close()


@pytest.mark.parametrize(
    "options",
    [{"threads": -1, "thread": 1}, {"threads": -1, "provider": "npu"}, {"arena": "no", "spin": 1}],
    ids=["unknown", "provider", "spin"],
)
def test_the_first_wrong_option_is_the_same_one(
    options: dict[str, object], library: Library, bundles: Callable[[str], Bundle]
) -> None:
    """One that is unknown; else the first in the backend's own order. What might be meant, Python adds."""
    bundle = bundles("std")
    handle = library.open(bundle.root)
    cpp = words(lambda: CppStream(library, handle, options=json.dumps(options)))
    assert library.destroy("bundle", handle) == 0
    assert cpp.startswith("[V2V-E4009]")
    assert words(lambda: Stream(bundle, options=options)).split("\n  to do:")[0] == cpp


def test_a_file_is_no_bundle_and_which_is_said(library: Library, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    python, cpp = opened(library, file)
    assert cpp == python
    assert "\n  to do: name the one that `v2v-export build` writes" in cpp


def test_a_size_that_is_not_the_librarys_is_logged(
    library: Library, bundles: Callable[[str], Bundle]
) -> None:
    told: list[str] = []
    log = LOG(lambda _, level, line: told.append(line.decode()))
    context = c.c_void_p()
    library.call("context_create", c.byref(ContextOptions(log=log)), c.byref(context))
    handle = library.open(bundles("std").root, context)
    told.clear()
    error, info = Error(), BundleInfo()
    error.struct_size = 4
    assert library.functions.v2v_bundle_get_info(handle, c.byref(info), c.byref(error)) == 3102
    assert [line.split("\n")[0] for line in told] == ["[V2V-E3102] error.struct_size is 4"]
    for kind, each in (("bundle", handle), ("context", context)):
        assert library.destroy(kind, each) == 0
