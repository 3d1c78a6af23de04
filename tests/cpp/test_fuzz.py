"""Short runs over what is fuzzed: every input gives a value or a code, within a second and 256 MB.

The programs end themselves where an input takes more, gives a code of another kind or leaves memory behind.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from conformance import features
from conformance.programs import PROGRAMS
from support.fuzz_inputs import MANIFESTS, documents, folder_inputs, manifest_input
from support.large_documents import REFUSED, large_documents

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


SHARES = {"v2v_mutate": 2, "v2v_mutate_bundle": 1}
"""Which part of the bounds its large documents have: it reads and writes each document several times, where a
bundle's is read once, as a session reads it. Sanitizers make a reading several times as long."""
SHARE_WITH_SANITIZERS = 32


@pytest.mark.parametrize("program", list(SHARES))
def test_documents_at_the_bounds_cost_what_an_input_may(
    program: str, cpp_build: Path, sanitizers: str, tmp_path: Path
) -> None:
    """The program ends itself where one takes more than 256 MB of the library's memory, or a second."""
    for name, text in large_documents(SHARE_WITH_SANITIZERS if sanitizers else SHARES[program]):
        file = tmp_path / name
        file.write_bytes(manifest_input(text, features.minimal()["files"]) if "bundle" in program else text)
        done = subprocess.run(
            [cpp_build / program, SEED, "0", file], capture_output=True, check=False, timeout=240
        )
        words = done.stderr.decode()[-2000:]
        assert done.returncode == 0, (name, words)
        assert json.loads(done.stdout)["whole"] == (name not in REFUSED), name
        most = re.search(r"most of one input: [0-9.]+ s, ([0-9]+) bytes", words)
        assert most is not None
        assert int(most[1]) < 256 * 2**20, name
        file.unlink()


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
