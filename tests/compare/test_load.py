"""A machine under load, for real: another process burns a core while two real workers take turns."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from support.negative import write_negative
from v2v_export.bench.host import busy_seconds
from v2v_export.cli import main
from v2v_export.compare.verdict import Limits

SLOWED = Path(__file__).parents[2] / "benchmarks" / "_points" / "slowed_worker.py"
PICTURES = np.random.default_rng(0).integers(10, 240, (3, 64, 96, 3), np.uint8)
ROUNDS = 12


@pytest.fixture
def burning() -> Iterator[None]:
    """A process that does nothing but use a core."""
    process = subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"])
    yield
    process.kill()
    process.wait()


@pytest.mark.skipif(busy_seconds() is None, reason="/proc/stat does not tell of this process's cores alone")
@pytest.mark.usefixtures("burning")
def test_a_core_that_others_burn_makes_no_verdict_however_slow_the_head(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The head's frames are made 50 % slower. What the burner leaves undone for want of a core, whoever has
    taken that core does: the count of foreign work does not depend on what else runs here."""
    bundle = write_negative(tmp_path / "negative.v2v", PICTURES)
    slowed = shlex.join([sys.executable, str(SLOWED), "0.5"]) + " {bundle}"
    junit = tmp_path / "latency.xml"
    argv = ["compare", str(bundle), str(bundle), "--head-command", slowed, "--junit", str(junit), "--json"]
    argv += ["--rounds", str(ROUNDS), "--cycles", "1", "--turn", "0.1", "--no-pictures"]
    assert main(argv) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "NOISY"
    assert any("other processes use" in reason for reason in told["judgement"]["noise"])
    assert len(told["rounds"]) == ROUNDS, "rounds are not played again where most of them are disturbed"
    disturbed = [item["foreign_cores"] for item in told["rounds"] if item["disturbed"]]
    assert len(disturbed) > ROUNDS / 2
    assert min(disturbed) > Limits.foreign
    (case,) = ElementTree.parse(junit).getroot()
    assert case.find("failure") is None
    skipped = case.find("skipped")
    assert skipped is not None
    assert skipped.attrib["message"].startswith("NOISY; other processes use")
