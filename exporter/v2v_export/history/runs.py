"""From what ``bench`` found to a line of the history."""

from __future__ import annotations

import datetime

from v2v_export.bench.report import STREAM, BenchReport, p95_of
from v2v_export.history.file import Record


def record_of(report: BenchReport, commit: str = "") -> Record:
    """The stream's figures, as measured now.

    Args:
        commit: the revision that was measured.
    """
    side = report.sides[STREAM]
    return Record(
        time=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        machine=report.machine.hardware,
        bundle=report.bundle,
        target=report.target,
        identity=report.identity,
        conditions=dict(report.conditions),
        turn=report.turns[STREAM],
        p50=side.p50,
        p95=p95_of(side),
        mean=side.mean,
        frames=side.frames,
        commit=commit,
        noise=report.noise,
        versions=report.machine.versions,
    )
