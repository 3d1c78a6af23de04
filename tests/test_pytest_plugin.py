"""The pytest plugin, in a pytest of its own as a project would run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from support.negative import write_negative
from support.trusted_engines import TARGET, add_engines, target_hash
from v2v_export.compare.job import ROUNDS
from v2v_export.compare.verdict import LEAST_ROUNDS

PICTURES = np.full((3, 16, 24, 3), 100, np.uint8)
PASSED, FAILED, USAGE = 0, 1, 4
"""Exit statuses of pytest."""

BUNDLE, BASE = ("--v2v-bundle", "negative.v2v"), ("--v2v-base", "negative.v2v")
FEW = ("--v2v-rounds", "12")

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
host.throttled_seconds = float
"""
"""What the machine says of its processor time: nothing was used in all, or a day of it."""


ASKING = """
import sys
sys.path.insert(0, {tests!r})
from support.trusted_engines import open_backend
from v2v_runtime import opening
opening.open_backend = open_backend
"""
"""Plays engines, if they are trusted, without a GPU."""


class Project:
    """A folder with a bundle of negatives, tests of it, and a machine that says how busy it is."""

    def __init__(self, root: Path) -> None:
        self.root = root
        write_negative(root / "negative.v2v", PICTURES)
        self.others_use(0)
        self.tests(TESTS)

    def tests(self, text: str) -> None:
        (self.root / "test_mine.py").write_text(text)

    def others_use(self, seconds: int) -> None:
        (self.root / "conftest.py").write_text(HOST.format(seconds=seconds))

    def run(self, expected: int, *words: str) -> str:
        """What pytest tells; ``expected`` is its exit status."""
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--strict-markers", "-rA", *words],
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        told = done.stdout + done.stderr
        assert done.returncode == expected, told
        return told


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_fixtures_and_markers_on_a_real_bundle(project: Project) -> None:
    told = project.run(FAILED, *BUNDLE, "--v2v-target", "cpu")
    for name in ("test_negative", "test_selftest", "test_latency", "test_deadline_kept"):
        assert f"PASSED test_mine.py::{name}" in told
    assert "frames took longer than 0.0001 ms" in told
    assert "frames took longer than 0.0002 ms" in told
    assert "--v2v-base names no bundle" in told
    assert "4 passed, 1 skipped" in told, "a warning may follow: the machine decides whether times settle"
    assert "2 errors" in told


def test_engines_from_elsewhere_are_trusted_by_hash(project: Project) -> None:
    """By every fixture that plays them."""
    bundle = add_engines(project.root / "negative.v2v")
    with (project.root / "conftest.py").open("a") as file:
        file.write(ASKING.format(tests=str(Path(__file__).parent)))
    words = (*BUNDLE, "--v2v-target", TARGET, "-k", "negative or selftest or test_latency")
    told = project.run(FAILED, *words)
    assert "V2V-E4401" in told
    assert "3 errors" in told
    assert "3 passed" in project.run(PASSED, *words, "--v2v-trust", target_hash(bundle))


@pytest.mark.parametrize("settles", [True, False], ids=["settled", "unsettled"])
def test_times_that_had_not_settled_are_told(project: Project, settles: bool) -> None:
    """No time to settle is given, or no warm-up made: verdicts and exit status are those of the times."""
    warm = "_warm = lambda *_: None" if settles else "WARM_SECONDS = 0.0"
    with (project.root / "conftest.py").open("a") as file:
        file.write(f"from v2v_export.bench import interleave\ninterleave.{warm}\n")
    words = (*BUNDLE, "--junitxml", "junit.xml", "-k")
    told = project.run(PASSED, *words, "latency or kept")
    number = 0 if settles else 2
    assert ("2 passed, 5 deselected, 2 warnings" in told) == (not settles)
    assert told.count("PytestWarning: v2v_latency: its times had not settled before") == number
    properties = ElementTree.parse(project.root / "junit.xml").getroot().iter("property")
    known = [(item.attrib["name"], item.attrib["value"]) for item in properties]
    assert known == [("v2v_settled", "false")] * number
    told = project.run(FAILED, *words, "by_name")
    assert ("frames took longer than 0.0002 ms" in told, "5% may (p50" in told) == (True, True)
    assert ("; its times had not settled before" in told) == (not settles)


@pytest.mark.parametrize("words", ["seconds=3", "", "'3'", "3, ms=3", "ms=-1"])
def test_a_marker_that_says_something_else_is_told(project: Project, words: str) -> None:
    project.tests(f"import pytest\n@pytest.mark.v2v_deadline({words})\ndef test_it(): pass\n")
    assert f"v2v_deadline({words}): v2v_deadline(ms) takes one number above 0" in project.run(FAILED)


@pytest.mark.parametrize(
    ("tests", "words", "number"),
    [
        (TESTS, ("-k", "latency or kept or missed"), 4),
        ("def test_not_worse(v2v_comparison): assert v2v_comparison.passed\n", (*BASE, *FEW), 1),
    ],
    ids=["deadline", "comparison"],
)
def test_on_a_machine_under_load_there_is_no_verdict(
    project: Project, tests: str, words: tuple[str, ...], number: int
) -> None:
    """Its tests are skipped with the reason, or fail with it where that is asked for."""
    project.tests(tests)
    project.others_use(86400)
    for status, strict, outcome in ((PASSED, (), "skipped"), (FAILED, ("--v2v-strict",), "error")):
        told = project.run(status, *BUNDLE, *words, *strict)
        assert f"{number} {outcome}" in told
        assert "NOISY" in told
        assert "other processes use" in told


COMPARED = """
def test_not_worse(v2v_comparison):
    assert v2v_comparison.passed, "\\n".join(v2v_comparison.lines())

def test_what_was_compared(v2v_comparison):
    assert len(v2v_comparison.rounds) >= 12
    assert any("off by up to 5 levels, allowed 0" in loss for loss in v2v_comparison.losses)
"""


def test_a_comparison_with_a_base(project: Project) -> None:
    """The head's self-test expects other pictures, so it fails whatever the times say."""
    write_negative(project.root / "wrong.v2v", PICTURES, wrong=5)
    project.tests(COMPARED)
    told = project.run(FAILED, "--v2v-bundle", "wrong.v2v", *BASE, *FEW)
    assert "1 failed, 1 passed" in told
    assert "FAILED test_mine.py::test_not_worse" in told
    assert "off by up to 5 levels" in told


@pytest.mark.parametrize("rounds", ["11", "many", "-20"])
def test_too_few_rounds_are_a_usage_error(project: Project, rounds: str) -> None:
    told = project.run(USAGE, *BUNDLE, *BASE, f"--v2v-rounds={rounds}")
    assert f"'{rounds}': a number of rounds, at least {LEAST_ROUNDS}" in told


def test_the_help_tells_the_rounds_that_the_library_plays(project: Project) -> None:
    told = " ".join(project.run(PASSED, "--help").split())
    assert f"rounds of v2v_comparison, at least {LEAST_ROUNDS}; {ROUNDS} if not given" in told


def test_the_guide_s_sample_has_all_its_fixtures(project: Project) -> None:
    guide = (Path(__file__).parents[1] / "docs/latency.md").read_text("utf-8").partition("## In pytest")[2]
    project.tests(guide.partition("```python\n")[2].partition("```")[0])
    assert "SETUP    F v2v_latency" in project.run(PASSED, *BUNDLE, "--setup-plan")


def test_without_a_bundle_its_tests_are_skipped(project: Project) -> None:
    told = project.run(PASSED)
    assert "7 skipped" in told
    assert "--v2v-bundle names no bundle" in told


def test_a_damaged_bundle_is_an_error_with_its_code(project: Project) -> None:
    graph = next((project.root / "negative.v2v" / "graphs").iterdir())
    graph.write_bytes(graph.read_bytes()[:-1])
    assert "V2V-E1" in project.run(FAILED, *BUNDLE)


def test_a_run_that_does_not_use_it_pays_nothing(project: Project) -> None:
    (project.root / "conftest.py").unlink()
    project.tests("import sys\ndef test(): assert not {'torch', 'v2v_runtime', 'numpy'} & set(sys.modules)\n")
    project.run(PASSED)
