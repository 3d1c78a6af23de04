"""First stage: the teacher learns the look, with an apprentice block beside it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from budget import Budget, Log
from torch import Tensor, nn
from torch.nn import functional
from training_data import look_clips, to_unit
from v2v_export.systems.shortcut_v2v.block import ShortcutBlock
from v2v_export.systems.shortcut_v2v.model import ResnetGenerator

_IMITATION = 1.5
"""Weight of the apprentice's miss against the teacher's; more gives a softer teacher and a closer stream."""


def train_teacher(
    teacher: ResnetGenerator,
    apprentice: ShortcutBlock,
    level: str,
    rng: np.random.Generator,
    frame: tuple[int, int],
    interval: int,
    budget: Budget,
    log: Log,
) -> None:
    """L1 (and a little squared error, which weighs the lines) between teacher and look, in place.

    Beside it an apprentice block is trained, and its picture is asked to be near the teacher's, with the
    gradient into both: of the many teachers that draw the look equally well, this finds one whose features
    can be predicted from a frame's own encoding and an older frame.

    Half-size frames for the first three quarters of the time, then larger ones: InstanceNorm sees the
    statistics of what it is given, so the teacher ends near what it will be shown.
    """
    split = teacher.split(level)
    parameters = [*teacher.parameters(), *apprentice.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=budget.peak, betas=(0.5, 0.999))
    started = time.monotonic()
    step, pool, running = 0, None, np.zeros(2)
    while (elapsed := time.monotonic() - started) < budget.seconds:
        views = _LARGE if elapsed > 0.75 * budget.seconds else _SMALL
        if pool is None or views is not pool.views:
            pool = _Pool(views, rng, frame, interval)
        source, target = pool.batch(rng)
        a = split.encoder(source.flatten(0, 1))
        f = split.middle(a)
        output = split.decoder(f)
        a, f, image = (item.unflatten(0, (-1, 2)) for item in (a, f, output))
        imitated = split.decoder(apprentice(a[:, 0], a[:, 1], f[:, 0]))
        goal = target.flatten(0, 1)
        likeness = functional.l1_loss(output, goal) + 0.5 * functional.mse_loss(output, goal)
        gap = functional.l1_loss(imitated, image[:, 1]) + 0.5 * functional.mse_loss(imitated, image[:, 1])
        loss = likeness + _IMITATION * min(1.0, elapsed / (0.2 * budget.seconds)) * gap
        for group in optimiser.param_groups:
            group["lr"] = budget.rate(elapsed)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(parameters, 2.0)
        optimiser.step()
        running += (np.array((likeness.item(), gap.item())) - running) * (0.05 if step else 1.0)
        if step % 25 == 0:
            _log_teacher(log, step, elapsed, running, budget.rate(elapsed))
        step += 1
    _log_teacher(log, step, time.monotonic() - started, running, 0.0)


@dataclass(frozen=True)
class _Views:
    """What the teacher is shown: size in shares of the demo's frame, pairs per step, pairs kept at hand."""

    share: float
    per_step: int
    kept: int


_SMALL = _Views(0.5, 2, 80)
_LARGE = _Views(0.75, 1, 40)


class _Pool:
    """Pairs of frames with their looks, each used a few times before a fresh one takes its place."""

    def __init__(
        self, views: _Views, rng: np.random.Generator, frame: tuple[int, int], interval: int
    ) -> None:
        self.views = views
        self._frame, self._interval = frame, interval
        self._size = tuple(int(side * views.share) // 4 * 4 for side in frame)
        self._frames, self._looks = self._draw(rng, views.kept)
        self._oldest = 0

    def _draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        gaps = [int(gap) for gap in rng.integers(1, self._interval + 1, count)]
        return look_clips(rng, gaps, self._size[0], self._size[1], self._frame)

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Frames and looks of a step, float [n, 2, 3, h, w] in [-1, 1], flipped or not.

        One pair of the pool is renewed.
        """
        fresh = slice(self._oldest, self._oldest + 1)
        self._frames[fresh], self._looks[fresh] = self._draw(rng, 1)
        self._oldest = (self._oldest + 1) % self.views.kept
        index = torch.from_numpy(rng.integers(0, self.views.kept, self.views.per_step))
        source, target = to_unit(self._frames[index]), to_unit(self._looks[index])
        return (source.flip(-1), target.flip(-1)) if rng.random() < 0.5 else (source, target)


def _log_teacher(log: Log, step: int, elapsed: float, parts: npt.NDArray[np.float64], rate: float) -> None:
    log(
        {
            "stage": "teacher",
            "step": step,
            "seconds": round(elapsed, 1),
            "look": round(float(parts[0]), 5),
            "imitation": round(float(parts[1]), 5),
            "rate": rate,
        }
    )
