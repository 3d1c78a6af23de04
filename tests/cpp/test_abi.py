"""The ABI does not change unnoticed: what ``v2v.h`` declares is what was recorded for its version.

After a change that programs compiled before survive, or one that raises ``V2V_ABI_VERSION``, record it:
``PYTHONPATH=tests python tests/cpp/test_abi.py``.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path

from support.cpp import BundleInfo, Counters, Error, Frame, Param, SelfTest, StreamOptions, Timing

CPP = Path(__file__).parents[2] / "runtime" / "cpp"
HEADER = CPP / "include" / "v2v" / "v2v.h"


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


def record() -> Path:
    return CPP / "abi" / f"{version()}.txt"


def test_the_header_is_what_was_recorded() -> None:
    assert declarations() == record().read_text("utf-8").splitlines()


def test_the_record_holds_the_functions_and_structs() -> None:
    lines = record().read_text("utf-8").splitlines()
    assert sum(line.startswith("V2V_API ") for line in lines) == 24
    assert sum(line.startswith("typedef struct") and "{" in line for line in lines) == 9


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


def test_the_layouts_of_version_1() -> None:
    """By hand from the header: 4 bytes for 32 bits, 8 for 64 bits and pointers, each at its own multiple."""
    sizes = {Error: 2048, BundleInfo: 624, StreamOptions: 48, Frame: 56, Param: 40, SelfTest: 48}
    sizes |= {Counters: 136, Timing: 168}
    assert {kind.__name__: ctypes.sizeof(kind) for kind in sizes} == {k.__name__: n for k, n in sizes.items()}


if __name__ == "__main__":
    record().parent.mkdir(exist_ok=True)
    record().write_text("\n".join(declarations()) + "\n", "utf-8")
