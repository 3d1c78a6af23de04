"""What is fuzzed: every input gives a value or a code, within a second of the processor and 256 MB.

The programs end themselves where an input takes more, gives a code of another kind or leaves memory behind.
``v2v_replay`` gives inputs to what is fuzzed, with whatever compiler; ``v2v_fuzz`` runs it with libFuzzer, as
``benchmarks/fuzz.py`` does for ten minutes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from conformance import features
from conformance.programs import PROGRAMS
from support.fuzz_inputs import (
    ENVIRONMENT,
    MANIFESTS,
    OPTIONS,
    document_inputs,
    folder_inputs,
    manifest_input,
)
from support.large_documents import REFUSED, large_documents

EXPECTED: dict[str, Any] = json.loads((MANIFESTS / "expected.json").read_text("utf-8"))


def write(folder: Path, inputs: Iterable[bytes]) -> list[Path]:
    folder.mkdir()
    files = []
    for number, data in enumerate(inputs):
        files.append(folder / f"{number}")
        files[-1].write_bytes(data)
    return files


def replay(program: Path, files: list[Path]) -> dict[str, Any]:
    """What the program says of inputs that it reads one after the other."""
    done = subprocess.run([program, *files], capture_output=True, check=False, timeout=240)
    words = done.stderr.decode()
    assert done.returncode == 0, words[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["inputs"] == len(files)
    most = re.search(r"most of one input: [0-9.]+ s, ([0-9]+) bytes", words)
    assert most is not None
    assert 0 < int(most[1]) < 256 * 2**20
    return found


def check_peak(found: dict[str, Any], sanitizers: str) -> None:
    """The process's largest memory, unless most of it is a sanitizer's; an input's own is always counted."""
    assert found["peak_mb"] > 0
    assert sanitizers or found["peak_mb"] < 256


def test_documents_give_values_or_codes(cpp_build: Path, sanitizers: str, tmp_path: Path) -> None:
    found = replay(cpp_build / "v2v_replay", write(tmp_path / "inputs", document_inputs()))
    assert found["whole"] == len(EXPECTED["valid"])
    check_peak(found, sanitizers)


def test_bundle_folders_give_values_or_codes(cpp_build: Path, sanitizers: str, tmp_path: Path) -> None:
    files = write(tmp_path / "inputs", folder_inputs(tmp_path / "bundles"))
    found = replay(cpp_build / "v2v_replay_bundle", files)
    # Seals and hashes are put right, or no mutation would be read behind them. The sample opens with the 4 of
    # 16 flags that leave neither its identity nor its seal wrong, and with an empty folder among its targets;
    # manifests of the corpus open where they name no blob, for their blobs' files are empty here.
    texts = [(MANIFESTS / "valid" / name).read_text("utf-8") for name in EXPECTED["valid"]]
    assert found["whole"] == len(PROGRAMS) + 4 + 1 + sum('"file":' not in text for text in texts)
    check_peak(found, sanitizers)


SHARES = {"v2v_replay": 2, "v2v_replay_bundle": 1}
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
        found = replay(cpp_build / program, [file])
        assert found["whole"] == (name not in REFUSED), name
        file.unlink()


@pytest.fixture(scope="module")
def fuzzers() -> Path:
    """Where the fuzzers were built."""
    named = os.environ.get("V2V_CPP_FUZZ")
    if named is None:
        pytest.skip("V2V_CPP_FUZZ is not set: run `make cpp`")
    build = Path(named).resolve()
    if not (build / "v2v_fuzz").is_file():
        pytest.skip(f"{build} holds no v2v_fuzz: run `make fuzzers`, which says why there is no Clang for it")
    return build


RUNS = {"v2v_fuzz": 10000, "v2v_fuzz_bundle": 3000}


@pytest.mark.parametrize("program", list(RUNS))
def test_a_short_run_of_libfuzzer_finds_nothing(program: str, fuzzers: Path, tmp_path: Path) -> None:
    if program == "v2v_fuzz":
        seeds = write(tmp_path / "seeds", document_inputs())
    else:
        seeds = write(tmp_path / "seeds", folder_inputs(tmp_path / "bundles"))
    (tmp_path / "found").mkdir()
    counts = [f"-runs={RUNS[program]}", "-seed=1", "-print_final_stats=1"]
    done = subprocess.run(
        [fuzzers / program, "found", "seeds", *counts, *OPTIONS],
        cwd=tmp_path,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        check=False,
        timeout=280,
    )
    log = done.stderr.decode(errors="replace")
    assert done.returncode == 0, log[-4000:]
    # An empty file is none to libFuzzer, which begins with an empty input by itself.
    assert f" {sum(seed.stat().st_size > 0 for seed in seeds)} files found in seeds\n" in log
    assert f"stat::number_of_executed_units: {RUNS[program]}\n" in log
    # What coverage finds is kept: without it every input would be as good as another.
    assert any((tmp_path / "found").iterdir())
