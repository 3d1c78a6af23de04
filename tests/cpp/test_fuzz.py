"""Short runs over what is fuzzed: every input gives a value or a code, within a second and 256 MB.

The programs end themselves where an input takes more, gives a code of another kind or leaves memory behind.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from conformance.programs import PROGRAMS
from support.fuzz_inputs import MANIFESTS, documents, folder_inputs

SEED = "1"

EXPECTED: dict[str, Any] = json.loads((MANIFESTS / "expected.json").read_text("utf-8"))


def write(folder: Path, inputs: Iterable[bytes]) -> list[Path]:
    folder.mkdir()
    files = []
    for number, data in enumerate(inputs):
        files.append(folder / f"{number}")
        files[-1].write_bytes(data)
    return files


def mutate(program: Path, inputs: int, files: Iterable[Path]) -> dict[str, Any]:
    done = subprocess.run([program, SEED, str(inputs), *files], capture_output=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["inputs"] == inputs
    return found


def check_peak(found: dict[str, Any], sanitizers: str) -> None:
    """The process's largest memory, unless most of it is a sanitizer's; an input's own is always counted."""
    assert found["peak_mb"] > 0
    assert sanitizers or found["peak_mb"] < 256


def test_mutations_of_documents_give_values_or_codes(cpp_build: Path, sanitizers: str) -> None:
    found = mutate(cpp_build / "v2v_mutate", 4000, documents())
    assert found["whole"] == len(EXPECTED["valid"])
    check_peak(found, sanitizers)


def test_mutations_of_bundle_folders_give_values_or_codes(
    cpp_build: Path, sanitizers: str, tmp_path: Path
) -> None:
    files = write(tmp_path / "inputs", folder_inputs(tmp_path / "bundles"))
    found = mutate(cpp_build / "v2v_mutate_bundle", 1500, files)
    # Seals and hashes are put right, or no mutation would be read behind them. The sample opens with the 4 of
    # 16 flags that leave neither its identity nor its seal wrong, and with an empty folder among its targets;
    # manifests of the corpus open where they name no blob, for their blobs' files are empty here.
    texts = [(MANIFESTS / "valid" / name).read_text("utf-8") for name in EXPECTED["valid"]]
    assert found["whole"] == len(PROGRAMS) + 4 + 1 + sum('"file":' not in text for text in texts)
    check_peak(found, sanitizers)


@pytest.mark.parametrize("target", ["v2v_fuzz", "v2v_fuzz_bundle"])
def test_libfuzzer_finds_nothing_in_a_short_run(target: str, cpp_build: Path, tmp_path: Path) -> None:
    if not (cpp_build / target).is_file():
        pytest.skip("libFuzzer is Clang's: build the preset `fuzz`")
    if target == "v2v_fuzz":
        write(tmp_path / "seeds", (path.read_bytes() for path in documents()))
    else:
        write(tmp_path / "seeds", folder_inputs(tmp_path / "bundles"))
    (tmp_path / "found").mkdir()
    limits = ["-runs=3000", "-malloc_limit_mb=256", "-timeout=20", f"-seed={SEED}"]
    done = subprocess.run(
        [cpp_build / target, tmp_path / "found", tmp_path / "seeds", *limits],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
