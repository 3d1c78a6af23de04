"""The ABI does not change unnoticed: what ``v2v.h`` declares is what was recorded for its version.

After a change of the header, raise ``V2V_ABI_VERSION``, record it with ``PYTHONPATH=tests python
tests/cpp/test_abi.py``, add the record's hash to ``RECORDS`` and write down the layouts in ``abi_layouts.c``.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import subprocess
from pathlib import Path

import pytest
from support.cpp import (
    BundleInfo,
    ContextOptions,
    Counters,
    Error,
    Frame,
    Param,
    SelfTest,
    StreamOptions,
    Timing,
)

CPP = Path(__file__).parents[2] / "runtime" / "cpp"
HEADER = CPP / "include" / "v2v" / "v2v.h"
LAYOUTS = Path(__file__).with_name("abi_layouts.c")

#: version -> sha256 of its record, which never changes.
RECORDS = {"1": "bba342ad53ef0369a624300ec88097796276a1a7573d922ee41d03011afaa430"}
MIRRORS: dict[str, type[ctypes.Structure]] = {
    "v2v_error": Error,
    "v2v_context_options": ContextOptions,
    "v2v_bundle_info": BundleInfo,
    "v2v_stream_options": StreamOptions,
    "v2v_frame": Frame,
    "v2v_param": Param,
    "v2v_selftest": SelfTest,
    "v2v_counters": Counters,
    "v2v_timing": Timing,
}


def declarations() -> list[str]:
    """Each declaration and constant of the header on one line, without comments."""
    text = re.sub(r"/\*.*?\*/", " ", HEADER.read_text("utf-8"), flags=re.DOTALL)
    constants = re.findall(r"^#define (V2V_\w+ \S+)$", text, flags=re.MULTILINE)
    text = re.sub(r"#ifdef __cplusplus.*?#endif", "", text, flags=re.DOTALL)
    text = " ".join(line for line in text.splitlines() if not line.startswith("#"))
    found, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == ";" and depth == 0:
            found.append(re.sub(r"\s+", " ", text[start : place + 1]).strip())
            start = place + 1
    return [*(c for c in constants if not c.startswith("V2V_API")), *found]


def version() -> str:
    (found,) = re.findall(r"^#define V2V_ABI_VERSION (\d+)$", HEADER.read_text("utf-8"), re.MULTILINE)
    return found


def record(number: str) -> Path:
    return CPP / "abi" / f"{number}.txt"


def write_record(number: str, folder: Path) -> Path:
    """Records the header as a new version; SystemExit where that version has been recorded."""
    path = folder / f"{number}.txt"
    if path.exists():
        raise SystemExit(f"version {number} is recorded and stays: raise V2V_ABI_VERSION")
    folder.mkdir(exist_ok=True)
    path.write_text("\n".join(declarations()) + "\n", "utf-8")
    return path


def fields(declaration: str) -> list[str]:
    """The names of a struct's fields, in their order."""
    found = []
    for line in declaration[declaration.index("{") + 1 : declaration.rindex("}")].split(";"):
        if called := re.search(r"\(\*(\w+)\)", line):
            found.append(called[1])
        elif line.strip():
            found += [re.findall(r"\w+", part.split("[")[0])[-1] for part in line.split(",")]
    return found


def layouts() -> list[tuple[str, str, int, int]]:
    """(struct, field, offset, size), as written down."""
    rows = re.findall(r"^FIELD\((\w+), (\w+), (\d+), (\d+)\);$", LAYOUTS.read_text("utf-8"), re.MULTILINE)
    return [(struct, field, int(at), int(size)) for struct, field, at, size in rows]


def test_the_header_is_what_was_recorded() -> None:
    assert declarations() == record(version()).read_text("utf-8").splitlines()


def test_no_record_was_written_anew() -> None:
    hashes = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in (CPP / "abi").iterdir()}
    assert hashes == RECORDS


def test_a_record_is_written_once(tmp_path: Path) -> None:
    assert write_record("1", tmp_path).read_text("utf-8").splitlines() == declarations()
    with pytest.raises(SystemExit, match="raise V2V_ABI_VERSION"):
        write_record("1", tmp_path)


def test_the_record_holds_the_functions_and_structs() -> None:
    lines = record("1").read_text("utf-8").splitlines()
    assert sum(line.startswith("V2V_API ") for line in lines) == 24
    assert sum(line.startswith("typedef struct") and "{" in line for line in lines) == 9


def test_the_library_is_named_after_the_version(cpp_build: Path) -> None:
    shown = subprocess.run(
        ["readelf", "-d", cpp_build / "libv2v_runtime.so"], capture_output=True, text=True, check=True
    )
    assert re.findall(r"SONAME.*\[(.*)\]", shown.stdout) == [f"libv2v_runtime.so.{version()}"]


def test_the_library_exports_what_the_header_declares(cpp_build: Path) -> None:
    done = subprocess.run(
        ["nm", "-D", "--defined-only", cpp_build / "libv2v_runtime.so"],
        capture_output=True,
        text=True,
        check=True,
    )
    exported = {line.split()[-1] for line in done.stdout.splitlines()}
    declared = {re.search(r"(v2v_\w+)\(", line)[1] for line in declarations() if line.startswith("V2V_API ")}  # type: ignore[index]
    assert exported == declared


def test_every_field_has_its_layout_written_down() -> None:
    lines = record("1").read_text("utf-8").splitlines()
    declared = [
        (line.split()[2], field)
        for line in lines
        if line.startswith("typedef struct") and "{" in line
        for field in fields(line)
    ]
    assert [(struct, field) for struct, field, _, _ in layouts()] == declared


def test_the_compiler_lays_the_structs_out_as_written_down(cmake_cache: dict[str, str]) -> None:
    options = ["-std=c11", "-Wall", "-Werror", "-fsyntax-only", "-I", str(CPP / "include")]
    subprocess.run([cmake_cache["CMAKE_C_COMPILER"], *options, LAYOUTS], check=True)


def test_the_mirrors_of_these_tests_have_the_same_layouts() -> None:
    found = [
        (struct, field[0], getattr(mirror, field[0]).offset, getattr(mirror, field[0]).size)
        for struct, mirror in MIRRORS.items()
        for field in mirror._fields_
    ]
    assert found == layouts()
    sizes = dict(re.findall(r"^SIZE\((\w+), (\d+)\);$", LAYOUTS.read_text("utf-8"), re.MULTILINE))
    assert {struct: str(ctypes.sizeof(mirror)) for struct, mirror in MIRRORS.items()}.items() <= sizes.items()


if __name__ == "__main__":
    print(write_record(version(), CPP / "abi"))
