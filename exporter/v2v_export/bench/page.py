"""A benchmark as a page that a person would rather look at than read."""

from __future__ import annotations

from pathlib import Path

from v2v_export.bench.machine import Machine
from v2v_export.bench.report import STREAM, BenchReport, call_cells
from v2v_export.history import Trend
from v2v_export.reports import svg
from v2v_export.reports.page import Page


def write_page(path: Path, report: BenchReport, trend: Trend | None = None) -> None:
    """Writes the page.

    Args:
        trend: the history that this run belongs to.

    Raises:
        BundleError: it cannot be written (V2V-E1051).
    """
    height, width = report.size
    verdict = None
    if report.deadline is not None:
        verdict = ("keeps its deadline", "good") if report.passed else ("misses its deadline", "bad")
    page = Page(
        report.bundle, f"{report.target}, {width} x {height}, identity {report.identity[:16]}", verdict
    )
    _table(page, report)
    _charts(page, report)
    _costs(page, report)
    if trend is not None and len(trend.runs) > 1:
        _history(page, trend)
    _machine(page, report)
    page.write(path)


def _table(page: Page, report: BenchReport) -> None:
    headings = ["", "frames/s", "p50 ms", "p95 ms", "p99 ms", "worst ms", "jitter ms", "frames"]
    if report.misses is not None:
        headings.append(f"over {report.deadline:g} ms")
    rows = []
    for name, side in report.sides.items():
        row = [
            name,
            f"{side.fps:.2f}",
            f"{side.p50:.2f}",
            f"{side.p95:.2f}",
            "too few" if side.p99 is None else f"{side.p99:.2f}",
            f"{side.worst:.2f}",
            f"{side.jitter:.2f}",
            str(side.frames),
        ]
        if report.misses is not None:
            row.append(f"{report.misses[name] / side.frames:.1%}")
        rows.append(row)
    page.table(headings, rows)
    for ratio in report.ratios:
        page.text(str(ratio))
    for name, reason in report.left_out.items():
        page.text(f"Not measured: {name}: {reason}", soft=True)


def _charts(page: Page, report: BenchReport) -> None:
    names = list(report.series)
    page.heading("Latency, frame by frame")
    page.figure(
        svg.lines(report.series, "measured frame", "ms", report.deadline),
        svg.legend(names) if len(names) > 1 else "",
    )
    page.heading("Distribution")
    page.figure(svg.distributions(report.series, "ms a frame"), svg.legend(names) if len(names) > 1 else "")


def _costs(page: Page, report: BenchReport) -> None:
    if report.calls:
        page.heading("Where the time goes")
        page.text("Median of one run of each call, late calls inline.", soft=True)
        page.figure(svg.bars({name: {"measured": call.p50} for name, call in report.calls.items()}, "ms"))
        page.table(
            ("call", "runs", "p50 ms", "p95 ms", "p99 ms", "worst ms"),
            [(name, *call_cells(call)) for name, call in report.calls.items()],
        )
    if report.roofline:
        page.heading("Against the roofline")
        page.text(
            f"One run of each graph here, and the least that {report.roofline_of} could take by its "
            "arithmetic and its memory.",
            soft=True,
        )
        measured: dict[str, float] = {}
        for name, call in report.calls.items():
            graph = report.graph_of.get(name, "")
            measured[graph] = min(call.p50, measured.get(graph, call.p50))
        groups = {
            graph: {**({"measured": measured[graph]} if graph in measured else {}), "roofline": least}
            for graph, least in report.roofline.items()
        }
        page.figure(svg.bars(groups, "ms"), svg.legend(["measured", "roofline"]))


def _history(page: Page, trend: Trend) -> None:
    page.heading("History on this machine")
    levels = [level.p50 for level in trend.levels for _ in range(level.first, level.last + 1)]
    series = {"p50": [run.p50 for run in trend.runs], "level": levels}
    page.figure(svg.lines(series, "run", "ms"), svg.legend(list(series)))
    for change in trend.changes:
        page.text(change)


def _machine(page: Page, report: BenchReport) -> None:
    page.heading("Measured on")
    page.facts([*machine_facts(report.machine), ("warm-up", _warm(report))])


def machine_facts(machine: Machine) -> list[tuple[str, str]]:
    """A machine in words, for a page."""
    return [
        ("processor", f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:g} GiB"),
        ("system", f"{machine.system}, Python {machine.python}"),
        ("clock", _known(machine.clock_mhz, " MHz") + f", governor {machine.governor or 'not told'}"),
        ("temperature", _known(machine.temperature_c, " degrees C")),
        ("load before", _known(machine.load, "")),
        ("GPUs", "; ".join((*machine.gpus, *machine.gpu_clocks)) or "none"),
        ("versions", ", ".join(f"{name} {version}" for name, version in machine.packages.items())),
        ("fingerprint", machine.fingerprint),
    ]


def _known(value: float | None, unit: str) -> str:
    return "not told" if value is None else f"{value:g}{unit}"


def _warm(report: BenchReport) -> str:
    frames = report.warm_frames.get(STREAM, 0)
    return f"{frames} frames of the stream" + (
        "" if report.settled.get(STREAM, True) else ", its times had not settled by then"
    )
