"""Fuzzes the readers of the C++ runtime with libFuzzer until so much of the processor's time is spent.

Two targets, half of the time each: single documents (manifests, targets, headers of safetensors), and whole
bundle folders. Both are seeded with the conformance corpus and run with AddressSanitizer and
UndefinedBehaviorSanitizer. An input that crashes, leaks, takes more than a second of the processor's time or
more than 256 MB of the library's memory ends the run, and its file is named.

    make fuzzers
    PYTHONPATH=tests python benchmarks/fuzz.py build/cpp-fuzz [--seconds 600] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from _real import record
from conformance import features
from support.fuzz_inputs import ENVIRONMENT, OPTIONS, document_inputs, folder_inputs, manifest_input
from support.large_documents import large_documents

SHARE = 16
"""Documents at the bounds of size and values, which fuzzing does not reach, are read once, at this part of
them: sanitizers make a reading several times as long."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("build", type=Path, help="where the fuzzers were built")
    parser.add_argument("--seconds", type=float, default=600, help="of processor time, over both targets")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes the record")
    given = parser.parse_args()
    about = record.machine()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        seeds = {
            "v2v_fuzz": list(document_inputs()),
            "v2v_fuzz_bundle": list(folder_inputs(work / "bundles")),
        }
        files = features.minimal()["files"]
        large = {
            "v2v_fuzz": [text for _, text in large_documents(SHARE)],
            "v2v_fuzz_bundle": [manifest_input(text, files) for _, text in large_documents(SHARE)],
        }
        read = {
            name: once(given.build / name, inputs, work / f"{name}-large") for name, inputs in large.items()
        }
        found = {
            name: read[name] | fuzz(given.build / name, inputs, work / name, given.seconds / len(seeds))
            for name, inputs in seeds.items()
        }
    print(json.dumps(found, indent=1))
    if given.json is not None:
        limits = {"processor_seconds": 1, "library_bytes": 256 * 2**20}
        document = {
            "schema": record.SCHEMA,
            "name": "cpp-fuzz",
            "limits_of_an_input": limits,
            "machine": about,
        }
        record.write_document(given.json, {**document, "targets": found})


def once(target: Path, inputs: Iterable[bytes], work: Path) -> dict[str, Any]:
    """Has a target read each of some inputs, whatever their length; gives the most that one took."""
    work.mkdir()
    files = []
    for number, data in enumerate(inputs):
        files.append(work / f"{number}")
        files[-1].write_bytes(data)
    log = _done(target, [*files, *OPTIONS])
    largest = _stat(log, r"most of one input: .* s, (\d+) bytes")
    return {
        "large_inputs": len(files),
        "slowest_large_input_processor_ms": round(1000 * _stat(log, r"most of one input: ([\d.]+) s"), 1),
        "largest_large_input_library_mb": round(largest / 2**20, 1),
    }


def fuzz(target: Path, seeds: Iterable[bytes], work: Path, seconds: float) -> dict[str, Any]:
    """Runs one target until it has used ``seconds`` of processor time; gives what it counted."""
    corpus, known = work / "found", work / "seeds"
    corpus.mkdir(parents=True)
    known.mkdir()
    for number, data in enumerate(seeds):
        (known / f"{number}").write_bytes(data)
    counted: dict[str, Any] = {"seeds": len(list(known.iterdir())), "inputs": 0}
    slowest, largest = 0.0, 0
    start, used = time.monotonic(), _used()
    while (left := seconds - (_used() - used)) > 1:
        log = _run(target, corpus, known, int(left) + 1)
        counted["inputs"] += int(_stat(log, r"stat::number_of_executed_units: +(\d+)"))
        slowest = max(slowest, _stat(log, r"most of one input: ([\d.]+) s"))
        largest = max(largest, int(_stat(log, r"most of one input: .* s, (\d+) bytes")))
        counted["edges"] = int(_stat(log, r"cov: (\d+)"))
        counted["features"] = int(_stat(log, r"ft: (\d+)"))
        counted["process_mb"] = int(_stat(log, r"stat::peak_rss_mb: +(\d+)"))
    counted["slowest_input_processor_ms"] = round(1000 * slowest, 1)
    counted["largest_input_library_mb"] = round(largest / 2**20, 1)
    counted["kept"] = len(list(corpus.iterdir()))
    counted["processor_seconds"] = round(_used() - used, 1)
    counted["clock_seconds"] = round(time.monotonic() - start, 1)
    return counted


def _run(target: Path, corpus: Path, seeds: Path, seconds: int) -> str:
    return _done(target, [corpus, seeds, f"-max_total_time={seconds}", "-print_final_stats=1", *OPTIONS])


def _done(target: Path, arguments: Iterable[str | Path]) -> str:
    done = subprocess.run(
        [target, *arguments, "-artifact_prefix=./"],
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        check=False,
    )
    log = done.stderr.decode(errors="replace")
    if done.returncode != 0:
        sys.exit(f"{target.name} found an input (see its file in this folder):\n{log[-6000:]}")
    return log


def _stat(log: str, pattern: str) -> float:
    """The last number that a log gives for it."""
    return float(re.findall(pattern, log)[-1])


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
