"""A comparison as a page and as JUnit cases."""

from __future__ import annotations

import math
from pathlib import Path

from v2v_export.bench.page import machine_facts
from v2v_export.compare.report import HEADINGS, CompareReport, in_words, table
from v2v_export.compare.verdict import Compared, Verdict, disturbed
from v2v_export.reports import svg
from v2v_export.reports.junit import Case
from v2v_export.reports.page import Page

_KINDS = {Verdict.PASS: "good", Verdict.IMPROVED: "good", Verdict.FAIL: "bad"}

_MEANING = {
    Verdict.PASS: "Not slower by more than the limit, and known to be so.",
    Verdict.FAIL: "Slower than the limit allows (frames, whole turns, their tail or their total), more late "
    "frames, worse pictures, or other counters than agreed.",
    Verdict.IMPROVED: "Quicker by more than the limit.",
    Verdict.INCONCLUSIVE: "No verdict: the interval is too wide to say either.",
    Verdict.NOISY: "No verdict: the machine was not fit to judge on.",
}


_FIGURES = (
    "median: what a frame takes, from handed over to in hand; turn: the same with the work that goes on "
    "after its picture; p95: what 95 in 100 frames keep to; total: all frames' time together, where one in a "
    "hundred that takes long shows; miss rate: late frames in 100."
)
"""What stands in the table."""


def write_page(path: Path, report: CompareReport) -> None:
    """Writes the page.

    Raises:
        BundleError: it cannot be written (V2V-E1051).
    """
    head, base = report.head, report.base
    page = Page(
        f"{head.name} against {base.name}",
        f"{_targets(report)}, {head.width} x {head.height}; "
        f"head {head.identity[:12]}, base {base.identity[:12]}",
        (str(report.verdict), _KINDS.get(report.verdict, "odd")),
    )
    page.text(_MEANING[report.verdict])
    headline, *lines = report.lines()
    page.text(headline.partition(": ")[2])
    compared = () if report.judgement is None else report.judgement.compared
    if compared:
        sure = report.sure
        headings = ("head against base", "estimate", f"{sure} low", f"{sure} high", "verdict")
        page.table(headings, [_row(item) for item in compared])
        page.text(_FIGURES, soft=True)
    for line in lines[len(compared) :]:  # the first ones say what the table says
        page.text(line.strip(), soft=True)
    _rounds(page, report)
    page.heading("Distribution")
    frames = {
        name: [ms for item in report.rounds for turn in getattr(item, name).turns for ms in turn.frame_ms]
        for name in ("base", "head")
    }
    page.text("The share of frames that took at most so long, all rounds together.", soft=True)
    page.figure(svg.distributions(frames, "ms a frame", report.deadline), svg.legend(list(frames)))
    page.heading("Round by round")
    page.table(HEADINGS, table(report))
    page.text("A: base, head, head, base; B: head, base, base, head. * other processes worked.", soft=True)
    page.heading("Measured on")
    page.facts(machine_facts(report.machine))
    page.write(path)


def _targets(report: CompareReport) -> str:
    head, base = report.head.target, report.base.target
    return head if head == base else f"head on {head}, base on {base}"


def _rounds(page: Page, report: CompareReport) -> None:
    """What the verdict is made of: a dot a round, the interval, and the limit."""
    page.heading("The head's excess in each round")
    page.text(
        "Each dot is the ratio of two medians from two fresh processes that took turns; the band is the "
        "interval, the line in it the estimate. Hollow dots: other processes worked.",
        soft=True,
    )
    compared = () if report.judgement is None else report.judgement.compared
    median = next((item for item in compared if item.what == "median"), None)
    page.figure(
        svg.dots(
            [100 * math.expm1(item.median) for item in report.rounds],
            "round",
            "head's excess, %",
            hollow={index for index, item in enumerate(report.rounds) if disturbed(item, report.limits)},
            band=None if median is None else (100 * median.low, 100 * median.estimate, 100 * median.high),
            limit=(100 * report.limits.fail, "fails above"),
        )
    )


def cases(report: CompareReport, *, strict: bool = False) -> list[Case]:
    """What a CI system lists. NOISY and INCONCLUSIVE are skipped cases: they are no verdict.

    Args:
        strict: they are failures, as the exit status says then.
    """
    text = "\n".join(report.lines())
    judged = Verdict.INCONCLUSIVE if report.judgement is None else report.judgement.verdict
    why = () if report.judgement is None else report.judgement.noise or report.judgement.told
    unsure = judged in (Verdict.NOISY, Verdict.INCONCLUSIVE)
    overall = Case(
        "latency",
        report.seconds,
        failure=text if judged is Verdict.FAIL or (strict and unsure) else None,
        skipped="; ".join((judged, *why)) if unsure and not strict else None,
        output=text,
    )
    found = [overall]
    if report.quality is not None:
        failure = "\n".join(report.losses) or None
        found.append(Case("pictures", failure=failure, skipped=None if failure else report.unjudged))
    if report.counters is not None:
        found.append(Case("counters", failure="\n".join(report.counters) or None))
    return found


def _row(item: Compared) -> tuple[str, ...]:
    judged = str(item.verdict) if item.decides else "not judged"
    return (item.what, *in_words(item), judged)
