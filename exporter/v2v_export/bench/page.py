"""A benchmark as a page that a person would rather look at than read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from v2v_export.bench.machine import Machine
from v2v_export.bench.report import (
    CALL_HEADINGS,
    SIDE_HEADINGS,
    STREAM,
    UNSETTLED,
    BenchReport,
    Verdict,
    call_cells,
    side_cells,
)
from v2v_export.reports import svg
from v2v_export.reports.page import Page

_VERDICTS = {
    Verdict.KEPT: ("keeps its deadline", "good"),
    Verdict.MISSED: ("misses its deadline", "bad"),
    Verdict.NOISY: ("NOISY: its deadline is not judged", "odd"),
    Verdict.OPEN: ("OPEN: too few frames to judge its deadline by", "odd"),
}


def write_page(path: Path, report: BenchReport, more: Callable[[Page], None] | None = None) -> None:
    """Writes the page.

    Args:
        more: adds what else belongs on it, such as the history of this run (``history.add_trend``).

    Raises:
        BundleError: it cannot be written (V2V-E1051).
    """
    height, width = report.size
    verdict = None if report.verdict is None else _VERDICTS[report.verdict]
    if verdict is not None and report.unsettled:
        verdict = f"{verdict[0]}; {UNSETTLED}", "odd" if report.passed else verdict[1]
    page = Page(
        report.bundle, f"{report.target}, {width} x {height}, identity {report.identity[:16]}", verdict
    )
    _table(page, report)
    _charts(page, report)
    _calls(page, report)
    _roofline(page, report)
    if more is not None:
        more(page)
    _machine(page, report)
    page.write(path)


def _table(page: Page, report: BenchReport) -> None:
    headings = ["", *SIDE_HEADINGS, "frames"]
    if report.misses is not None:
        headings.append(f"over {report.deadline:g} ms")
    rows = []
    for name, side in report.sides.items():
        row = [name, *side_cells(side), str(side.frames)]
        if report.misses is not None:
            row.append(f"{report.misses[name] / side.frames:.1%}")
        rows.append(row)
    page.table(headings, rows)
    for ratio in report.ratios:
        page.text(str(ratio))
    for reason in report.noise:
        page.text(f"Noise: {reason}")
    for name, reason in report.left_out.items():
        page.text(f"Not measured: {name}: {reason}", soft=True)


def _charts(page: Page, report: BenchReport) -> None:
    names = list(report.series)
    legend = svg.legend(names) if len(names) > 1 else ""
    page.heading("Latency, frame by frame")
    page.text("From a frame handed over to its picture in hand, in the order measured.", soft=True)
    page.figure(svg.lines(report.series, "measured frame", "ms", report.deadline), legend)
    page.heading("Distribution")
    page.text("The share of frames that took at most so long: the steeper, the steadier.", soft=True)
    page.figure(svg.distributions(report.series, "ms a frame", report.deadline), legend)


def _calls(page: Page, report: BenchReport) -> None:
    if not report.calls:
        return
    page.heading("Where the time goes")
    page.text(
        "Each call timed by itself, late ones inline: the median of one run, and what an average frame takes "
        "of it, since a call need not run for every frame.",
        soft=True,
    )
    groups = {
        name: {"one run": call.p50, "an average frame": report.per_frame(name)}
        for name, call in report.calls.items()
    }
    page.figure(svg.bars(groups, "ms"), svg.legend(["one run", "an average frame"]))
    page.table(("call", *CALL_HEADINGS), [(name, *call_cells(call)) for name, call in report.calls.items()])


def _roofline(page: Page, report: BenchReport) -> None:
    if not report.roofline:
        return
    page.heading("Against the roofline")
    page.text(
        f"One run of each graph here, and the least that {report.roofline_of} could take by its arithmetic "
        "and its memory.",
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
    page.table(
        ("graph", "measured ms", "roofline ms", "times the roofline"),
        [
            (
                graph,
                f"{measured[graph]:.2f}" if graph in measured else "not run",
                f"{least:.3g}",
                f"{measured[graph] / least:.1f}" if graph in measured and least else "",
            )
            for graph, least in report.roofline.items()
        ],
    )


def _machine(page: Page, report: BenchReport) -> None:
    page.heading("Measured on")
    how = [(name, report.conditions[name]) for name in ("clip", "turns", "threads") if report.conditions]
    page.facts([*how, ("warm-up", _warm(report)), *machine_facts(report.machine)])


def machine_facts(machine: Machine) -> list[tuple[str, str]]:
    """A machine in words, for a page."""
    return [
        ("processor", f"{machine.cpu}, {machine.cores_told}, {machine.memory_gib:g} GiB"),
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
