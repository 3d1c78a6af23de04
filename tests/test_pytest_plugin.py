"""The pytest plugin, in a pytest of its own as a project would run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.negative import write_negative

PICTURES = np.full((3, 16, 24, 3), 100, np.uint8)
TESTS = """
import numpy as np
import pytest

def test_negative(v2v_stream):
    (frame,) = v2v_stream.push(np.full((16, 24, 3), 9, np.uint8))
    assert (frame.rgb8 == 246).all()

def test_selftest(v2v_stream):
    assert v2v_stream.selftest().passed

@pytest.mark.v2v_frames(10)
def test_latency(v2v_latency):
    assert v2v_latency.frames == 102, "six turns of what a 95th percentile needs"
    assert 0 < v2v_latency.p50 <= v2v_latency.p95 <= v2v_latency.worst

@pytest.mark.v2v_deadline(10000)
def test_deadline_kept(v2v_latency):
    pass

@pytest.mark.v2v_deadline(0.0001)
def test_deadline_missed(v2v_latency):
    pass

@pytest.mark.v2v_deadline(ms=0.0002)
def test_deadline_missed_by_name(v2v_stream):
    pass

def test_no_base(v2v_comparison):
    pass
"""

HOST = """
from v2v_export.bench import host
host.busy_seconds = iter([100.0, 100.0 + {seconds}] * 99).__next__
host.gpu_throttles = list
host._quota_seconds = float
"""
"""What the machine says of its processor time: nothing was used in all, or a day of it."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_negative(tmp_path / "negative.v2v", PICTURES)
    (tmp_path / "conftest.py").write_text(HOST.format(seconds=0))
    (tmp_path / "test_mine.py").write_text(TESTS)
    return tmp_path


def run(project: Path, *words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--strict-markers", "-rA", *words]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout


def test_fixtures_and_markers_on_a_real_bundle(project: Path) -> None:
    status, told = run(project, "--v2v-bundle", "negative.v2v", "--v2v-target", "cpu")
    assert status == 1, told
    for name in ("test_negative", "test_selftest", "test_latency", "test_deadline_kept"):
        assert f"PASSED test_mine.py::{name}" in told
    assert "the deadline 0.0001 ms" in told
    assert "the deadline 0.0002 ms" in told
    assert "--v2v-base names no bundle" in told
    assert "4 passed, 1 skipped, 2 errors" in told


@pytest.mark.parametrize("words", ["seconds=3", "", "'3'", "3, ms=3", "ms=-1"])
def test_a_marker_that_says_something_else_is_told(project: Path, words: str) -> None:
    (project / "test_mine.py").write_text(
        f"import pytest\n@pytest.mark.v2v_deadline({words})\ndef test_it(): pass\n"
    )
    status, told = run(project)
    assert status == 1
    assert f"v2v_deadline({words}): v2v_deadline(ms) takes one number above 0" in told


def test_no_deadline_is_judged_on_a_machine_under_load(project: Path) -> None:
    (project / "conftest.py").write_text(HOST.format(seconds=86400))
    words = ["--v2v-bundle", "negative.v2v", "-k", "kept or missed"]
    status, told = run(project, *words)
    assert status == 0, told
    assert "3 skipped" in told
    assert "NOISY: other processes use" in told
    status, told = run(project, *words, "--v2v-strict")
    assert status == 1
    assert "3 errors" in told
    assert "NOISY: other processes use" in told


COMPARED = """
def test_not_worse(v2v_comparison):
    assert v2v_comparison.passed, v2v_comparison.lines()

def test_what_was_compared(v2v_comparison):
    assert len(v2v_comparison.rounds) >= 8
    assert any("off by up to 5 levels, allowed 0" in loss for loss in v2v_comparison.losses)
"""


def test_a_comparison_with_a_base(project: Path) -> None:
    """The head's self-test expects other pictures, so it fails whatever the times say."""
    write_negative(project / "wrong.v2v", PICTURES, wrong=5)
    (project / "test_mine.py").write_text(COMPARED)
    words = ["--v2v-bundle", "wrong.v2v", "--v2v-base", "negative.v2v", "--v2v-rounds", "8"]
    status, told = run(project, *words)
    assert status == 1, told
    assert "1 failed, 1 passed" in told
    assert "FAILED test_mine.py::test_not_worse" in told
    assert "off by up to 5 levels" in told


def test_a_comparison_without_a_verdict_is_skipped_with_its_reason(project: Path) -> None:
    (project / "conftest.py").write_text(HOST.format(seconds=86400))
    (project / "test_mine.py").write_text(
        "def test_not_worse(v2v_comparison): assert v2v_comparison.passed\n"
    )
    words = ["--v2v-bundle", "negative.v2v", "--v2v-base", "negative.v2v", "--v2v-rounds", "8"]
    status, told = run(project, *words)
    assert status == 0, told
    assert "1 skipped" in told
    assert "NOISY" in told
    status, told = run(project, *words, "--v2v-strict")
    assert status == 1
    assert "1 error" in told


def test_the_guide_s_sample_has_all_its_fixtures(project: Path) -> None:
    guide = (Path(__file__).parents[1] / "docs/latency.md").read_text("utf-8").partition("## In pytest")[2]
    sample = guide.partition("```python\n")[2].partition("```")[0]
    (project / "test_mine.py").write_text(sample)
    status, told = run(project, "--v2v-bundle", "negative.v2v", "--setup-plan")
    assert status == 0, told
    assert "SETUP    F v2v_latency" in told


def test_without_a_bundle_its_tests_are_skipped(project: Path) -> None:
    status, told = run(project)
    assert status == 0
    assert "7 skipped" in told
    assert "--v2v-bundle names no bundle" in told


def test_a_damaged_bundle_is_an_error_with_its_code(project: Path) -> None:
    graph = next((project / "negative.v2v" / "graphs").iterdir())
    graph.write_bytes(graph.read_bytes()[:-1])
    status, told = run(project, "--v2v-bundle", "negative.v2v")
    assert status == 1
    assert "V2V-E1" in told


def test_a_run_that_does_not_use_it_pays_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\ndef test(): assert not {'torch', 'v2v_runtime', 'numpy'} & set(sys.modules)\n"
    )
    status, told = run(tmp_path)
    assert status == 0, told
