"""``v2v.hpp`` has all of ``v2v.h``, and does with it what the C ABI does."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from conformance.programs import PROGRAMS
from support.bundles import make_target
from support.selftests import bundle_with_selftest
from v2v_runtime.bundle_writer import write_target

HEADERS = Path(__file__).parents[2] / "runtime" / "cpp" / "include" / "v2v"


def test_every_function_is_wrapped() -> None:
    declared = re.findall(r"^V2V_API .*?(v2v_\w+)\(", (HEADERS / "v2v.h").read_text("utf-8"), re.MULTILINE)
    named = set(re.findall(r"\bv2v_\w+", (HEADERS / "v2v.hpp").read_text("utf-8")))
    assert len(declared) == 24
    assert set(declared) <= named


def test_every_wrapper_does_what_it_says(cpp_build: Path, tmp_path: Path) -> None:
    """Frames stay inside for two steps; six calls, a param of one number, two targets, a self-test."""
    bundle = bundle_with_selftest(tmp_path / "bundle", "stream_diffusion", count=4)
    for profile in ("cpu", "other"):
        write_target(bundle.root, make_target(profile=profile))
    calls = sum(len(phase.calls) for phase in bundle.manifest.program.phases)
    late = PROGRAMS["shortcut_v2v-shortcut"]().write(tmp_path / "late")
    arguments = [bundle.root, "2", str(calls), "stream", "guidance", "1", late.root]
    done = subprocess.run(
        [cpp_build / "v2v_wrapped", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
