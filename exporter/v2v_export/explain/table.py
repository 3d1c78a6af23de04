"""A report as a table for people."""

from __future__ import annotations

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


def memory_table(estimate: MemoryEstimate, profile: Profile, float_type: str) -> Table:
    """One row per phase: the GiB of its engines' weights, of the state, and of both together."""
    table = Table(title=f"{profile.title}: {float_type}, at the least, before any graph was made")
    table.add_column("phase", no_wrap=True)
    for heading in ("weights\nGiB", "state\nGiB", "together\nGiB"):
        table.add_column(heading, justify="right", no_wrap=True)
    gib = 2**30
    for name, phase in estimate.phases.items():
        together = (phase.total + estimate.lasting) / gib
        table.add_row(name, f"{phase.weights / gib:.2f}", f"{estimate.lasting / gib:.2f}", f"{together:.2f}")
    table.caption = (
        f"{estimate.commit / gib:.2f} GiB of the state wait for commits; available: "
        f"{estimate.available / gib:.2f} GiB; activations come on top"
    )
    return table
