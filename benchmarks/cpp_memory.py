"""What opened bundles and played streams of the C++ runtime leave in memory.

Opens and closes a bundle, then makes streams of one bundle, runs one step of each and destroys them. The
process may be 8 MB larger afterwards; ``tests/cpp/test_stress.py`` holds a short run of it to the same bound.

    PYTHONPATH=tests python benchmarks/cpp_memory.py build/cpp [--opens 1000] [--streams 10000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from _real import record
from conformance.programs import PROGRAMS

PROGRAM = "shortcut_v2v-shortcut"
LIMIT = 8 * 2**20
"""The largest growth in bytes."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("build", type=Path, help="where the C++ runtime was built")
    parser.add_argument("--opens", type=int, default=1000)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes what was found and on what machine")
    given = parser.parse_args()
    about = record.machine()
    with tempfile.TemporaryDirectory() as folder:
        root = PROGRAMS[PROGRAM]().write(Path(folder) / PROGRAM).root
        done = subprocess.run(
            [given.build / "v2v_stress", "memory", root, str(given.opens), str(given.streams)],
            stdout=subprocess.PIPE,
            check=True,
        )
    found = json.loads(done.stdout)
    for what, grew in (("bundles", found["opens_grew"]), ("bundles and streams", found["grew"])):
        print(f"after {what}: {grew / 2**20:+.2f} MB (limit {LIMIT / 2**20:g})")
    if given.json is not None:
        document = {
            "schema": record.SCHEMA,
            "name": "cpp-memory",
            "case": {"program": PROGRAM},
            "machine": about,
        }
        record.write_document(given.json, {**document, "limit_bytes": LIMIT, "found": found})
    return 0 if max(found["opens_grew"], found["grew"]) <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
