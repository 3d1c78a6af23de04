"""A report as a table for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from v2v_export.explain.memory import MemoryEstimate
from v2v_export.explain.report import Report
from v2v_export.profiles import Profile


def report_table(report: Report) -> Table:
    """One row per graph, and one for the mean frame of the steady stream; fits into 80 columns.

    Columns: runs per frame; multiply-adds in G, true and in the papers' convention; bytes in MB (1e6) with
    everything fused and with nothing fused; the roofline time in ms, and what bounds it.
    """
    profile = report.profile
    table = Table(title=f"{profile.title}: {report.float_type}, {profile.backend}")
    table.add_column("graph", no_wrap=True)
    for heading in ("runs/\nframe", "GMAC\ntrue", "GMAC\npapers", "MB\nfused", "MB\nunfused", "ms at\nleast"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("bound\nby", no_wrap=True)
    for name, item in report.graphs.items():
        table.add_row(
            name,
            f"{item.runs_per_frame:.3g}",
            f"{item.macs.true / 1e9:.3f}",
            f"{item.macs.paper / 1e9:.3f}",
            f"{item.traffic.fused / 1e6:.1f}",
            f"{item.traffic.unfused / 1e6:.1f}",
            f"{item.time.best:.3f}",
            item.time.bound,
        )
    table.add_section()
    table.add_row(
        "mean frame",
        "",
        f"{report.macs_per_frame / 1e9:.3f}",
        "",
        "",
        "",
        f"{report.best_ms_per_frame:.3f}",
        "",
    )
    state, memory = report.state, report.memory
    table.caption = (
        f"state {state.state / 1e6:.1f} MB ({len(state.slots)} slots, {len(state.second)} of them double); "
        f"device memory about {memory.total / 2**30:.2f} of {memory.available / 2**30:.2f} GiB"
    )
    return table


def print_memory(console: Console, estimate: MemoryEstimate, profile: Profile, float_type: str) -> None:
    """What is known before any graph is made: one row per phase, in GiB, or in MiB where all of it is
    less than one GiB; and whether it can fit.

    Columns: the weights of the engines that are loaded then, what a step makes (temporaries), the state that
    lasts, all three together, and what is left of the board for activations; a CPU has no such limit.
    """
    board = profile.compute_capability is not None
    most = max((phase.total for phase in estimate.phases.values()), default=0) + estimate.lasting
    unit, size, digits = ("GiB", 2**30, 2) if most >= 2**30 else ("MiB", 2**20, 1)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("phase", no_wrap=True)
    for heading in ("weights", "temporaries", "state", "together"):
        table.add_column(heading, justify="right", no_wrap=True)
    if board:
        table.add_column("left for activations", no_wrap=True)
    for name, phase in estimate.phases.items():
        together = phase.total + estimate.lasting
        left = estimate.available - together
        verdict = (
            f"{left / 2**30:.2f} GiB" if left >= 0 else f"does not fit: {-left / 2**30:.2f} GiB too much"
        )
        sizes = (phase.weights, phase.temporaries, estimate.lasting, together)
        table.add_row(
            name, *(f"{nbytes / size:.{digits}f}" for nbytes in sizes), *([verdict] if board else [])
        )
    # A table's own title and caption would be wrapped to its width.
    console.print(
        f"[bold]{profile.title}[/], {float_type}: {unit} at the least, nothing is built yet", soft_wrap=True
    )
    console.print(table)
    if board:
        reserve = profile.reserve_gib.value
        console.print(
            f"{estimate.available / 2**30:.2f} GiB are there: {profile.memory_gib.value:g} less {reserve:g}"
            " for driver, context and display",
            soft_wrap=True,
        )
    # A tenth of it is worth a word.
    if estimate.commit * 10 >= estimate.lasting > 0:
        copies = f"{estimate.commit / size:.{digits}f} {unit}"
        console.print(f"{copies} of the state are copies that wait for a step's end")
