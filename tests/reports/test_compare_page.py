"""The page of a comparison, opened in a real browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.pages import look
from v2v_export.bench.host import HostSpan
from v2v_export.bench.machine import this_machine
from v2v_export.compare import CompareReport, Limits
from v2v_export.compare.page import cases, write_page
from v2v_export.compare.quality import Quality
from v2v_export.compare.rounds import Round, SideRound, Turn
from v2v_export.compare.side import Hello
from v2v_export.compare.verdict import Compared, Verdict, judge

HELLO = Hello("a <b> & c", "s", "0" * 64, "cpu.onnxruntime", 256, 512, 256, 512, 3, 0.1, {})
HEADINGS = ["The head's excess in each round", "Distribution", "Round by round", "Measured on"]
GOOD = Quality(psnr=42.0, levels=1, tolerance=1, frames=4, expected=4, warp_error=1.0)


def report(slower: float = 0.08, **more: Any) -> CompareReport:
    """Twelve rounds of a head that is slower by so much, in which every third frame takes twice as long."""
    rng = np.random.default_rng(1)

    def side(level: float) -> SideRound:
        turns = []
        for _ in range(4):
            times = level * (1 + np.abs(rng.standard_t(3, 60)) * 0.04)
            times[2::3] *= 2
            turns.append(Turn(tuple(times.tolist()), float(times.sum())))
        return SideRound(HELLO, 40, True, tuple(turns))

    host = HostSpan(1.0, 1.05, 1.0)
    rounds = tuple(Round(("ABBA", "BAAB"), side(22), side(22 * (1 + slower)), host) for _ in range(12))
    limits = Limits()
    known = CompareReport(
        complete=True,
        extended=False,
        base=HELLO,
        head=HELLO,
        machine=this_machine(),
        limits=limits,
        deadline=60.0,
        seed=0,
        seconds=42.0,
        rounds=rounds,
        judgement=judge(rounds, limits, 60.0),
        quality=(GOOD, GOOD),
    )
    return replace(known, **more)


def test_a_browser_shows_a_comparison_in_light_in_dark_and_on_a_telephone(tmp_path: Path) -> None:
    path = tmp_path / "compare.html"
    write_page(path, report())
    for view, page in look(path, tmp_path).items():
        assert page["title"] == "a <b> & c against a <b> & c", view
        assert page["headings"][1:] == HEADINGS
        assert len(page["charts"]) == 2
        assert all(chart["width"] > 600 and chart["height"] > 80 for chart in page["charts"])
        assert page["rows"] == 5 + 12, "median, turn, p95, total and miss rate; twelve rounds"
        assert page["outside"] == [], "something is drawn outside of its chart"
        assert page["overlaps"] == [], "words are written over words"
        assert page["smallest"] >= 9, "letters of fewer pixels are no letters"
        assert not page["scrolls"], f"the page is wider than the window: {view}"
        assert page["problems"] == []
        assert page["requests"] == [path.as_uri()], "the page is not self-contained"
    text = path.read_text()
    assert '<span class="verdict bad">FAIL</span>' in text
    assert "<b>" not in text
    assert "99% between" not in text, "the table says it"
    assert "ms a frame, base" in text


@pytest.mark.parametrize(("slower", "verdict"), [(0.0, "good"), (-0.08, "good")])
def test_what_is_no_failure_is_not_shown_as_one(tmp_path: Path, slower: float, verdict: str) -> None:
    path = tmp_path / "compare.html"
    write_page(path, report(slower))
    assert f'<span class="verdict {verdict}">' in path.read_text()


def test_a_comparison_that_was_stopped_says_so(tmp_path: Path) -> None:
    path = tmp_path / "compare.html"
    write_page(path, report(complete=False, judgement=None))
    text = path.read_text()
    assert "not complete: stopped before its last round" in text
    assert '<span class="verdict odd">INCONCLUSIVE</span>' in text


def test_a_round_that_is_set_aside_is_hollow_and_has_a_star(tmp_path: Path) -> None:
    known = report()
    disturbed = replace(known.rounds[4], host=HostSpan(1.0, 1.7, 1.0))
    rounds = (*known.rounds[:5], disturbed, *known.rounds[5:])
    path = tmp_path / "compare.html"
    write_page(path, replace(known, rounds=rounds, judgement=judge(rounds, known.limits, 60.0)))
    text = path.read_text()
    assert text.count('class="dot hollow"') == 1
    assert "<td>0.70*</td>" in text
    assert "13 rounds, 1 of them set aside" in text


def test_an_open_deadline_is_the_reason_of_a_skipped_case() -> None:
    judgement = report().judgement
    assert judgement is not None
    open_ = replace(judgement, verdict=Verdict.INCONCLUSIVE, told=("the deadline is not judged: few frames",))
    latency, *_ = cases(report(judgement=open_))
    assert (latency.failure, latency.skipped) == (
        None,
        "INCONCLUSIVE; the deadline is not judged: few frames",
    )
    latency, *_ = cases(report(judgement=open_), strict=True)
    assert latency.skipped is None
    assert "the deadline is not judged: few frames" in str(latency.failure), "a red job has a red report"


def test_no_verdict_is_a_skipped_case_with_its_reason() -> None:
    noisy = report()
    assert noisy.judgement is not None
    judgement = replace(noisy.judgement, verdict=Verdict.NOISY, noise=("too hot",))
    latency, pictures = cases(replace(noisy, judgement=judgement))
    assert (latency.failure, latency.skipped) == (None, "NOISY; too hot")
    assert pictures.failure is None
    assert pictures.skipped is None
    latency, pictures = cases(replace(noisy, judgement=judgement, quality=(GOOD, replace(GOOD, levels=9))))
    assert latency.skipped == "NOISY; too hot", "worse pictures are another case"
    assert "off by up to 9 levels" in str(pictures.failure)


def test_pictures_without_any_self_test_are_a_skipped_case() -> None:
    bare = Quality(psnr=None, levels=None, tolerance=None, frames=0, expected=0, warp_error=1.0)
    found = report(quality=(bare, bare))
    _, pictures = cases(found)
    assert pictures.failure is None
    assert pictures.skipped == "neither bundle has self-test frames: what the pictures show is not judged"
    assert pictures.skipped in "\n".join(found.lines())
    _, pictures = cases(report(quality=(bare, replace(bare, warp_error=9.0))))
    assert "flickers" in str(pictures.failure)
    assert pictures.skipped is None


def test_times_are_told_in_percent_and_late_frames_in_points(tmp_path: Path) -> None:
    known = report(limits=Limits(confidence=0.9995))
    assert known.judgement is not None
    compared = (
        Compared("median", 0.052, 0.041, 0.063, Verdict.FAIL),
        Compared("miss rate", 0.012, -0.001, 0.02, Verdict.PASS),
    )
    told = replace(known, judgement=replace(known.judgement, compared=compared))
    assert told.lines()[1:3] == [
        "  median    +5.2% (99.95% between +4.1% and +6.3%)",
        "  miss rate +1.2 points (99.95% between -0.1 points and +2.0 points)",
    ]
    path = tmp_path / "compare.html"
    write_page(path, told)
    assert "<td>miss rate</td><td>+1.2 points</td>" in path.read_text()
