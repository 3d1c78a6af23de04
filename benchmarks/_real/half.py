"""The float16 graphs of a GPU's variant, run through ONNX Runtime on the CPU, against float32 torch.

Teacher-forced: every step starts from the float32 reference's state cast to float16, so each graph is judged
alone; the graph that only writes state (the refresh) by what it wrote. Free-running: the whole clip.
"""

from __future__ import annotations

import math

from v2v_export.verify.compare import Tolerance

from _real.case import GPU, HALF_FORMS, half_profile
from _real.findings import Finding, Part, table
from _real.played import play
from _real.workshop import Workshop

TOLERANCE = Tolerance(picture=2e-2, levels=3, type="float16")
"""Absolute at the float tap in [-1, 1]."""

SCHEDULE = "shortcut"
"""Its graphs are all three: full, shortcut, refresh; the other schedule's are two of them."""


def run(shop: Workshop) -> Part:
    """Plays both forms."""
    case = shop.case
    profiles = {form: half_profile(case, form) for form in HALF_FORMS}
    bundle = shop.bundle(SCHEDULE, list(profiles.values()))
    literal = shop.literal(SCHEDULE)
    found = []
    details = []
    shown = table(
        f"float16 graphs of {GPU} on the CPU, schedule {SCHEDULE}",
        "form",
        "forced tap",
        "levels",
        "state/std",
        "free tap",
        "levels",
    )
    for form, profile in profiles.items():
        with shop.tapped(SCHEDULE, bundle, profile) as tapped:
            forced = play(
                tapped,
                literal,
                shop.clip[: case.forced_frames],
                TOLERANCE,
                shop.progress,
                f"float16, {form}, teacher-forced",
                forced=True,
            )
            free = play(
                tapped, literal, shop.clip, TOLERANCE, shop.progress, f"float16, {form}", forced=False
            )
        for words, one in (
            (f"teacher-forced, {case.forced_frames} frames", forced),
            (f"free-running, {case.frames} frames", free),
        ):
            measured = one.tap if one.whole else math.inf
            note = "" if one.whole else f"{one.frames} of {one.wanted} frames; {one.failed}".rstrip("; ")
            found.append(Finding(f"float tap, {form}, {words}", measured, TOLERANCE.picture, note=note))
        shown.add_row(
            form,
            f"{forced.tap:.2e}",
            f"{forced.levels:.0f}",
            f"{forced.state:.2e}",
            f"{free.tap:.2e}",
            f"{free.levels:.0f}",
        )
        details.append(
            {
                "form": form,
                "variant": bundle.target(f"{profile.name}.onnxruntime").variant,
                "teacher_forced": forced.as_dict(),
                "free_running": free.as_dict(),
            }
        )
    return Part(found, [shown], {"bundle": bundle.manifest.identity, "forms": details})
