"""The literal stream: Algorithm 1 of the paper over the unchanged teacher and block: the judge of exports.

With interval alpha, frame 0 runs the full teacher and becomes the reference; other frames run encoder, block
and decoder. Every alpha-th frame refreshes the reference with the teacher's own features, so errors never
accumulate. The two schedules differ in what such a frame shows: ``"shortcut"`` (the paper's choice for this
teacher) the block's estimate from the old reference, ``"teacher"`` the full teacher's picture.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from v2v_export.systems.shortcut_v2v.block import ShortcutBlock
from v2v_export.systems.shortcut_v2v.errors import GeometryError, WeightsError
from v2v_export.systems.shortcut_v2v.model import Level, ResnetGenerator, Split, check_frame_size
from v2v_export.systems.shortcut_v2v.pictures import to_rgb8, to_tensor
from v2v_runtime.manifest.validate.schedule import MAX_PERIOD

Schedule = Literal["shortcut", "teacher"]
FrameKind = Literal["F", "S", "R"]
"""F: full teacher, becomes the reference. S: shortcut. R: shortcut from the old reference, then refresh."""


def frame_kind(index: int, interval: int, schedule: Schedule) -> FrameKind:
    """The kind of frame ``index``, counted from the start of the stream or its last reset.

    Raises:
        GeometryError: V2V-E6014, an interval below 1 or an unknown schedule.
    """
    check_schedule(interval, schedule)
    if index == 0:
        return "F"
    if index % interval:
        return "S"
    return "R" if schedule == "shortcut" else "F"


def frame_kinds(n: int, interval: int, schedule: Schedule) -> tuple[FrameKind, ...]:
    """The kinds of the first ``n`` frames: F S S R S S R ... for interval 3 and schedule "shortcut"."""
    return tuple(frame_kind(index, interval, schedule) for index in range(n))


def check_schedule(interval: int, schedule: str) -> None:
    """Raise V2V-E6014 for an interval or schedule that is none, or that no bundle can hold."""
    if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
        raise GeometryError(
            "V2V-E6014",
            f"interval {interval!r}",
            "a whole number of frames, at least 1",
            "take 3, the paper's value for this teacher",
        )
    if interval > MAX_PERIOD:
        raise GeometryError(
            "V2V-E6014",
            f"interval {interval}",
            f"at most {MAX_PERIOD} frames, the longest period that a bundle's schedule may have",
            "take 3, the paper's value for this teacher",
        )
    if schedule not in get_args(Schedule):
        raise GeometryError(
            "V2V-E6014", f'schedule "{schedule}"', '"shortcut" or "teacher"', 'take "shortcut", the paper\'s'
        )


def check_fit(teacher: ResnetGenerator, block: ShortcutBlock, level: Level | str) -> Split:
    """The teacher's split at ``level``; V2V-E6007 where the block takes other features than it gives."""
    split = teacher.split(level)
    if block.feat_ch != split.channels:
        fitting = [item.value for item in Level if teacher.split(item).channels == block.feat_ch]
        fix = f'set the level to "{fitting[0]}"' if fitting else "use the block trained with this teacher"
        raise WeightsError(
            "V2V-E6007",
            f"block of {block.feat_ch} feature channels at level {split.level.value} of a teacher with "
            f"ngf = {teacher.ngf}",
            f"a block of {split.channels} feature channels",
            fix,
        )
    return split


@dataclass(frozen=True)
class Features:
    """What a step computed, each ``[1, C, H / scale, W / scale]``.

    Attributes:
        a: the frame's encoder feature.
        f: what the decoder read: the teacher's feature (F) or the block's estimate (S, R).
        teacher_f: the teacher's decoder feature where the middle ran (F, R), else None.
    """

    a: Tensor
    f: Tensor
    teacher_f: Tensor | None


@dataclass(frozen=True)
class StepResult:
    """One frame of the stream.

    Attributes:
        kind: see ``FrameKind``.
        picture: ``[3, H, W]`` in [-1, 1].
        rgb8: uint8 ``[H, W, 3]``, by the published script's truncation.
        features: of this frame.
    """

    kind: FrameKind
    picture: Tensor
    rgb8: NDArray[np.uint8]
    features: Features


class ReferenceStream:
    """A teacher and its block on a stream of frames, one ``step`` each.

    Works on copies in eval mode: the modules given stay as they are, and later changes to them do not reach
    the stream.

    Args:
        teacher: the full model.
        block: its shortcut block.
        split: the dependence level at which the block was trained.
        interval: alpha, frames from one reference to the next, at least 1.
        schedule: what a refreshing frame shows.
        dtype: float32, or float64 for a judge without rounding.

    Raises:
        WeightsError: V2V-E6007, teacher, block and level do not fit.
        GeometryError: V2V-E6013 or V2V-E6014, unknown level, interval or schedule.
    """

    def __init__(
        self,
        teacher: ResnetGenerator,
        block: ShortcutBlock,
        split: Level | str = Level.MEDIUM,
        interval: int = 3,
        schedule: Schedule = "shortcut",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        check_schedule(interval, schedule)
        check_fit(teacher, block, split)
        self.teacher = copy.deepcopy(teacher).to(dtype).eval()
        self.block = copy.deepcopy(block).to(dtype).eval()
        self.split = self.teacher.split(split)
        self.interval = interval
        self.schedule: Schedule = schedule
        self.dtype = dtype
        self.reset()

    def reset(self) -> None:
        """Back to before the first frame: the next one is a full frame."""
        self.index = 0
        self.reference: tuple[Tensor, Tensor] | None = None

    @torch.no_grad()
    def step(self, frame: NDArray[np.uint8]) -> StepResult:
        """The next frame, uint8 RGB ``[H, W, 3]``. A refused frame leaves the stream as it was.

        After it, ``reference`` is (a_r, f_r), what the next step starts from.

        Raises:
            GeometryError: V2V-E6015, not such a frame, or another size than the stream's; V2V-E6010, a size
                that the model cannot take.
        """
        x = to_tensor(frame, self.dtype)
        check_frame_size(x.shape[-2], x.shape[-1], self.split.level)
        kind = frame_kind(self.index, self.interval, self.schedule)
        a = self.split.encoder(x)
        if self.reference is not None and a.shape != self.reference[0].shape:
            raise GeometryError(
                "V2V-E6015",
                f"frame {self.index} of {frame.shape[0]} x {frame.shape[1]}",
                "frames of one size from the first to the last",
                "resize the frame, or reset() the stream to change its size",
            )

        teacher_f = None if kind == "S" else self.split.middle(a)
        if kind == "F":
            assert teacher_f is not None
            f = teacher_f
        else:
            assert self.reference is not None
            a_r, f_r = self.reference
            f = self.block(a_r, a, f_r)
        picture = self.split.decoder(f)[0]
        if teacher_f is not None:
            self.reference = (a, teacher_f)
        self.index += 1
        return StepResult(kind, picture, to_rgb8(picture), Features(a, f, teacher_f))
