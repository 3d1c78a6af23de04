"""Parity: the exported float32 streams against the literal reference, frame by frame.

Both schedules, every form of the local sampling. Free-running over the whole clip, and teacher-forced over
the first steps, where the state after each step is looked at too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from v2v_export.verify.compare import Tolerance

from _real.case import FORMS, SCHEDULES, cpu_profile
from _real.findings import Finding, Part, table
from _real.played import Played, play
from _real.workshop import Workshop

TOLERANCE = Tolerance(picture=1e-4, levels=1)
"""Absolute at the float tap in [-1, 1]; levels of the uint8 picture."""


def run(shop: Workshop) -> Part:
    """Plays every stream."""
    case = shop.case
    profiles = {form: cpu_profile(case, form) for form in FORMS}
    free: dict[tuple[str, str], Played] = {}
    forced: dict[tuple[str, str], Played] = {}
    identities = {}
    for schedule in SCHEDULES:
        bundle = shop.bundle(schedule, list(profiles.values()))
        identities[schedule] = bundle.manifest.identity
        literal = shop.literal(schedule)
        for form, profile in profiles.items():
            name = f"schedule {schedule}, {form}"
            with shop.tapped(schedule, bundle, profile) as tapped:
                free[schedule, form] = play(
                    tapped, literal, shop.clip, TOLERANCE, shop.progress, name, forced=False
                )
                forced[schedule, form] = play(
                    tapped,
                    literal,
                    shop.clip[: case.forced_frames],
                    TOLERANCE,
                    shop.progress,
                    f"{name}, teacher-forced",
                    forced=True,
                )
    found = [
        *_findings(f"free-running, {case.frames} frames", free),
        *_findings(f"teacher-forced, {case.forced_frames} frames", forced),
    ]
    shown = table(
        "Parity with the literal reference: largest differences",
        "schedule, form",
        "frames",
        "float tap",
        "at",
        "levels",
        "forced tap",
        "levels",
        "state/std",
    )
    for (schedule, form), one in free.items():
        other = forced[schedule, form]
        shown.add_row(
            f"{schedule}, {form}",
            str(one.frames),
            f"{one.tap:.2e}",
            str(one.worst_frame),
            f"{one.levels:.0f}",
            f"{other.tap:.2e}",
            f"{other.levels:.0f}",
            f"{other.state:.2e}",
        )
    details = {
        "bundles": identities,
        "streams": [
            {
                "schedule": schedule,
                "form": form,
                "free_running": one.as_dict(),
                "teacher_forced": forced[schedule, form].as_dict(),
            }
            for (schedule, form), one in free.items()
        ],
    }
    return Part(found, [shown], details)


def _findings(words: str, runs: Mapping[tuple[str, str], Played]) -> list[Finding]:
    """The worst of all streams; one that was not played to its end is a miss."""
    broken = [
        f"schedule {schedule}, {form}: {one.frames} of {one.wanted} frames; {one.failed}".rstrip("; ")
        for (schedule, form), one in runs.items()
        if not one.whole
    ]
    tap = max(runs, key=lambda key: runs[key].tap)
    note = "; ".join(broken) or f"worst: schedule {tap[0]}, {tap[1]}"
    lost = math.inf if broken else 0.0
    return [
        Finding(f"float tap, {words}", max(lost, runs[tap].tap), TOLERANCE.picture, note=note),
        Finding(
            f"uint8, {words}",
            max(lost, *(one.levels for one in runs.values())),
            TOLERANCE.levels,
            unit="levels",
        ),
    ]
