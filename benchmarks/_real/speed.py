"""Speed: shortcut frames and streams against the full teacher in the same backend, in one process, in turns.

A shortcut frame is the time of a push that does nothing else: the frame after a refresh waits for the late
refresh, so it is left out of that comparison. Streams are compared over whole intervals, the wait for the
last late call included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

import torch
from v2v_export.bench.interleave import Side, Track, interleave
from v2v_export.bench.sides import ReferenceSide, StreamSide
from v2v_export.profiles import Profile
from v2v_runtime.bundle import Bundle
from v2v_runtime.stream import Stream

from _real.case import FORMS, SCHEDULES, Case, cpu_form, cpu_profile
from _real.findings import Finding, Part, table
from _real.operators import operator_times
from _real.ratios import TimeRatio, block_frames, block_means, kind_medians, time_ratio, warmup_frames
from _real.workshop import Workshop

FRAME_LIMIT = 0.33
"""A shortcut frame, in times of a full-teacher frame."""

STREAM_LIMIT = 1.6
"""The full-teacher stream, in times of the stream in the better schedule."""

FULL = "full teacher"
EAGER = "PyTorch eager, schedule shortcut"
CLIP_FRAMES = 24
OPERATORS_SHOWN = 12

StreamKey = tuple[str, str]
"""Schedule and form."""

Run = Mapping[str, Track]
"""Side -> what it took."""


def run(shop: Workshop) -> Part:
    """Measures in two runs: the ``cpu`` profile's own form with PyTorch beside it, then the other forms."""
    case, own = shop.case, cpu_form()
    torch.set_num_threads(case.threads)
    shop.forget()
    main = _measure(shop, [(schedule, own) for schedule in SCHEDULES], eager=True)
    others = _measure(shop, [("teacher", form) for form in FORMS if form != own], eager=False)
    frames: dict[StreamKey, TimeRatio] = {}
    streams: dict[StreamKey, TimeRatio] = {}
    for tracks in (main, others):
        for stream in _streams(tracks):
            frames[stream] = _frame_ratio(case, tracks, stream)
            streams[stream] = time_ratio(
                f"{FULL} stream", tracks[FULL].block_means, _name(*stream), tracks[_name(*stream)].block_means
            )
    best = max(SCHEDULES, key=lambda schedule: streams[schedule, own].estimate)
    found = [
        _finding(f"shortcut frame / {FULL} frame, schedule {each}", frames[each, own], FRAME_LIMIT)
        for each in SCHEDULES
    ]
    words = f"{FULL} stream / stream, schedule {best}, alpha {case.interval}"
    found.append(_finding(words, streams[best, own], STREAM_LIMIT))
    ratios = [*frames.values(), *streams.values()]
    for schedule in SCHEDULES:
        name = _name(schedule, own)
        ratios.append(time_ratio(EAGER, main[EAGER].block_means, name, main[name].block_means))
    operators = _operators(shop, own)
    tables = [
        _latency_table(case, f"the cpu profile's own form, {own}", main),
        _latency_table(case, "the other forms", others),
        _ratio_table(ratios),
        _operator_table(operators),
    ]
    details: dict[str, Any] = {
        "threads": case.threads,
        "own_form": own,
        "runs": [_run_dict(case, tracks) for tracks in (main, others)],
        "ratios": [asdict(ratio) for ratio in ratios],
        "operators": operators,
    }
    return Part(found, tables, details)


def _measure(shop: Workshop, streams: Sequence[StreamKey], *, eager: bool) -> Run:
    """The full teacher, these streams, and the literal reference if asked for."""
    case = shop.case
    with ExitStack() as stack:
        own = cpu_profile(case, cpu_form())
        # All before a stream is opened: building replaces bundles.
        bundles = {FULL: shop.teacher(own)}
        for schedule in dict(streams):
            forms = [form for each, form in streams if each == schedule]
            bundles[schedule] = shop.bundle(schedule, [cpu_profile(case, form) for form in forms])
        sides: list[Side] = []

        def add(name: str, bundle: Bundle, profile: Profile) -> None:
            side = StreamSide(name, bundle.root, _target(profile))
            stack.callback(side.close)
            sides.append(side)

        add(FULL, bundles[FULL], own)
        for schedule, form in streams:
            add(_name(schedule, form), bundles[schedule], cpu_profile(case, form))
        if eager:
            model = shop.model("shortcut")
            sides.append(ReferenceSide(EAGER, model.reference(), model.program()))
        shop.progress.start(f"measure {', '.join(side.name for side in sides)}", case.blocks)
        tracks = interleave(
            sides,
            list(shop.clip[:CLIP_FRAMES]),
            blocks=case.blocks,
            block_frames=block_frames(case),
            warmup_frames=warmup_frames(case),
            progress=lambda done, total: shop.progress.step("turns", done, total),
        )
        shop.progress.finish("done", sum(track.total_seconds for track in tracks.values()))
    shop.forget()
    return tracks


def _operators(shop: Workshop, form: str) -> dict[str, dict[str, float]]:
    """Graph -> operator -> milliseconds, of the two graphs whose frames are compared."""
    case, profile = shop.case, cpu_profile(shop.case, form)
    frame = shop.clip[:1]
    bundle = shop.bundle("teacher", [profile])
    with Stream(bundle, _target(profile)) as stream:
        stream.push(frame[0])
        state = stream.slots()
    found = {}
    for graph, of, inputs in (
        ("teacher", shop.teacher(profile), {"frame": frame}),
        ("shortcut", bundle, {"frame": frame, **state}),
    ):
        variant = of.target(_target(profile)).variant
        found[graph] = operator_times(of.graph_path(variant, graph), inputs, case.threads, shop.folder)
    return found


def _target(profile: Profile) -> str:
    return f"{profile.name}.onnxruntime"


def _name(schedule: str, form: str) -> str:
    return f"stream, schedule {schedule}, {form}"


def _streams(tracks: Run) -> list[StreamKey]:
    return [(schedule, form) for schedule in SCHEDULES for form in FORMS if _name(schedule, form) in tracks]


def _frame_ratio(case: Case, tracks: Run, stream: StreamKey) -> TimeRatio:
    name = _name(*stream)
    return time_ratio(
        f"shortcut frame of {name}",
        block_means(case, stream[0], "shortcut", tracks[name]),
        f"{FULL} frame",
        tracks[FULL].block_means,
    )


def _finding(what: str, ratio: TimeRatio, limit: float) -> Finding:
    return Finding(
        what,
        ratio.estimate,
        limit,
        "at most" if limit < 1 else "at least",
        unit="x",
        interval=(ratio.low, ratio.high),
    )


def _medians(case: Case, tracks: Run, name: str) -> dict[str, float]:
    """Kind of frame -> median milliseconds; empty for a side whose frames are all alike."""
    for stream in _streams(tracks):
        if _name(*stream) == name:
            return kind_medians(case, stream[0], tracks[name])
    return {}


def _run_dict(case: Case, tracks: Run) -> dict[str, Any]:
    return {
        "blocks": case.blocks,
        "block_frames": block_frames(case),
        "sides": {
            name: {
                **asdict(track.latency),
                "median_by_kind": _medians(case, tracks, name),
                "block_means": [mean * 1e3 for mean in track.block_means],
            }
            for name, track in tracks.items()
        },
    }


def _latency_table(case: Case, title: str, tracks: Run) -> Any:
    shown = table(f"Milliseconds per frame: {title}", "", "mean", "p50", "p95", "worst", "frames/s")
    for name, track in tracks.items():
        seen = track.latency
        numbers = (seen.mean, seen.p50, seen.p95, seen.worst)
        shown.add_row(name, *(f"{number:.1f}" for number in numbers), f"{seen.fps:.2f}")
        for words, median in _medians(case, tracks, name).items():
            shown.add_row(f"[dim]  {words}[/]", "", f"{median:.1f}")
    return shown


def _operator_table(operators: Mapping[str, Mapping[str, float]]) -> Any:
    shown = table("Milliseconds by operator, ONNX Runtime's profiler", "", *operators)
    rows = sorted({name for times in operators.values() for name in times})
    rows.sort(key=lambda name: -max(times.get(name, 0.0) for times in operators.values()))
    for name in rows[:OPERATORS_SHOWN]:
        shown.add_row(name, *(f"{times.get(name, 0.0):.1f}" for times in operators.values()))
    shown.add_row("all", *(f"{sum(times.values()):.1f}" for times in operators.values()))
    return shown


def _ratio_table(ratios: Sequence[TimeRatio]) -> Any:
    shown = table("Ratios of times, 95 % intervals", "", "ratio", "from", "to")
    for ratio in ratios:
        numbers = (ratio.estimate, ratio.low, ratio.high)
        shown.add_row(f"{ratio.of} / {ratio.over}", *(f"{number:.3f}" for number in numbers))
    return shown
