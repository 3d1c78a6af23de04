"""How good the trained pair is, on the photographs that it has not seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from v2v_export.demo.look import Picture, comic
from v2v_export.demo.scenes import HELD_OUT, demo_clip
from v2v_export.systems.shortcut_v2v.block import ShortcutBlock
from v2v_export.systems.shortcut_v2v.model import ResnetGenerator
from v2v_export.systems.shortcut_v2v.reference import ReferenceStream


def psnr(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures, dB; infinite where they are equal."""
    error = float(np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def measure(
    teacher: ResnetGenerator,
    block: ShortcutBlock,
    level: str,
    interval: int,
    frames: int,
    size: tuple[int, int],
) -> dict[str, object]:
    """PSNR on one clip of ``frames`` frames of each held-out photograph, dB.

    ``stream_vs_teacher`` compares the stream (schedule "shortcut") with the full teacher on the same frame;
    its mean leaves the full frames (F) out, since there the two are one computation. ``teacher_vs_look``
    compares the full teacher with the OpenCV look. ``still_vs_teacher`` repeats the reference frame's
    picture instead of using the block: what doing nothing would score.
    """
    clips = {}
    for seed, name in enumerate(HELD_OUT):
        clips[name] = _measure_clip(teacher, block, level, interval, list(demo_clip(frames, *size, seed)))
    means = [clip["stream_vs_teacher"]["mean"] for clip in clips.values()]
    return {
        "frames": frames,
        "height": size[0],
        "width": size[1],
        "interval": interval,
        "schedule": "shortcut",
        "level": level,
        "stream_vs_teacher_mean": round(float(np.mean(means)), 2),
        "clips": clips,
    }


def _measure_clip(
    teacher: ResnetGenerator, block: ShortcutBlock, level: str, interval: int, clip: list[Picture]
) -> dict[str, dict[str, float]]:
    stream = ReferenceStream(teacher, block, level, interval, "shortcut")
    # Interval 1 with schedule "teacher" is the full teacher on every frame.
    full = ReferenceStream(teacher, block, level, 1, "teacher")
    kinds: dict[str, list[float]] = {}
    look, still = [], []
    reference = clip[0]
    for frame in clip:
        shown, true = stream.step(frame), full.step(frame).rgb8
        look.append(psnr(true, comic(frame)))
        if shown.kind == "F":
            # Equal by construction: a difference would mean two different teachers.
            assert np.array_equal(shown.rgb8, true)
        else:
            kinds.setdefault(shown.kind, []).append(psnr(shown.rgb8, true))
            still.append(psnr(reference, true))
        if shown.kind != "S":
            reference = true
    every = [value for values in kinds.values() for value in values]
    by_kind = {kind: round(float(np.mean(values)), 2) for kind, values in sorted(kinds.items())}
    return {
        "stream_vs_teacher": {
            "mean": round(float(np.mean(every)), 2),
            "worst": round(min(every), 2),
            **by_kind,
        },
        "still_vs_teacher": {"mean": round(float(np.mean(still)), 2)},
        "teacher_vs_look": {"mean": round(float(np.mean(look)), 2), "worst": round(min(look), 2)},
    }
