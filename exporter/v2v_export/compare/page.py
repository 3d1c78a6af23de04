"""A comparison as a page and as JUnit cases."""

from __future__ import annotations

from pathlib import Path

from v2v_export.bench.page import machine_facts
from v2v_export.compare.report import CompareReport, table
from v2v_export.compare.verdict import Compared, Verdict
from v2v_export.reports import svg
from v2v_export.reports.junit import Case
from v2v_export.reports.page import Page

_KINDS = {Verdict.PASS: "good", Verdict.IMPROVED: "good", Verdict.FAIL: "bad"}


def write_page(path: Path, report: CompareReport) -> None:
    """Writes the page.

    Raises:
        BundleError: it cannot be written (V2V-E1051).
    """
    head, base = report.head, report.base
    page = Page(
        f"{head.name} against {base.name}",
        f"{head.target}, {head.width} x {head.height}; head {head.identity[:12]}, base {base.identity[:12]}",
        (str(report.verdict), _KINDS.get(report.verdict, "odd")),
    )
    headline, *lines = report.lines()
    page.text(headline.partition(": ")[2])
    compared = () if report.judgement is None else report.judgement.compared
    if compared:
        page.table(("", "head", "low", "high", ""), [_row(item) for item in compared])
    for line in lines[len(compared) :]:  # the first ones say what the table says
        page.text(line.strip(), soft=True)
    page.heading("Rounds")
    medians = {
        "base": [item.base.median() for item in report.rounds],
        "head": [item.head.median() for item in report.rounds],
    }
    page.text("Median milliseconds a frame in each round, both sides in fresh processes.", soft=True)
    page.figure(svg.lines(medians, "round", "ms", report.deadline), svg.legend(list(medians)))
    page.heading("Distribution")
    frames = {
        name: [ms for item in report.rounds for turn in getattr(item, name).turns for ms in turn.frame_ms]
        for name in ("base", "head")
    }
    page.figure(svg.distributions(frames, "ms a frame"), svg.legend(list(frames)))
    page.heading("Round by round")
    headings = ("round", "turns", "base ms", "head ms", "head", "others' cores")
    page.table(headings, table(report.rounds))
    page.heading("Measured on")
    page.facts(machine_facts(report.machine))
    page.write(path)


def cases(report: CompareReport) -> list[Case]:
    """What a CI system lists. NOISY and INCONCLUSIVE are skipped cases: they are no verdict."""
    text = "\n".join(report.lines())
    overall = Case(
        "latency",
        report.seconds,
        failure=text if report.judgement and report.judgement.verdict is Verdict.FAIL else None,
        skipped=str(report.verdict) if str(report.verdict) in ("NOISY", "INCONCLUSIVE") else None,
        output=text,
    )
    if report.quality is None:
        return [overall]
    return [overall, Case("pictures", failure="\n".join(report.losses) or None)]


def _row(item: Compared) -> tuple[str, ...]:
    judged = str(item.verdict) if item.decides else "not judged"
    return (item.what, f"{item.estimate:+.1%}", f"{item.low:+.1%}", f"{item.high:+.1%}", judged)
