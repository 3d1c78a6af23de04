"""Second stage: the shortcut block learns the frozen teacher's features.

The losses are those of Shortcut-V2V that need no second network: alignment (equation 8), feature (equation
11) and output distillation (equation 12), weighted 5, 5, 10 as published, with the gradient stopped at the
globally aligned reference where the method stops it. The adversarial (14, 15) and perceptual (13) terms are
left out: a discriminator and a VGG are larger than everything trained here, and the goal is fidelity to the
teacher, which the three terms measure directly.
"""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import torch
from budget import Budget, Log
from torch import Tensor, nn
from torch.nn import functional
from training_data import clips, to_unit
from v2v_export.systems.shortcut_v2v.block import ShortcutBlock
from v2v_export.systems.shortcut_v2v.model import Split

LAMBDA_ALIGN, LAMBDA_FEATURE, LAMBDA_OUTPUT = 5.0, 5.0, 10.0


def start_block(block: ShortcutBlock) -> None:
    """A start for a short training, instead of the published one for 3200 epochs.

    Convolutions keep unit gain (the published Xavier gain is 0.02), and both deformable kernels begin near
    the identity, so that from the first step the block passes features through. Offset and mask heads stay
    zero.
    """
    heads = (block.offset_generator_global.offset_conv, block.offset_generator_local.offset_mask_conv)
    for module in block.modules():
        if isinstance(module, nn.Conv2d) and module not in heads:
            nn.init.xavier_normal_(module.weight)
    for deform in (block.global_deform_conv, block.mask_deform_conv):
        weight = deform.regular_conv.weight
        with torch.no_grad():
            weight.normal_(0, 0.02)
            weight[:, :, 1, 1] += torch.eye(block.h)


def train_block(
    block: ShortcutBlock,
    split: Split,
    rng: np.random.Generator,
    frame: tuple[int, int],
    interval: int,
    budget: Budget,
    log: Log,
) -> None:
    """Train the block against the frozen teacher, in place.

    A clip of ``interval + 1`` frames gives the pairs of gap 1 to ``interval`` to its first frame. The paper
    draws gaps up to ``interval - 1``; its "shortcut" schedule uses the block at ``interval`` too, so it is
    trained there.
    """
    optimiser = torch.optim.Adam(block.parameters(), lr=budget.peak, betas=(0.5, 0.999))
    started = time.monotonic()
    step = 0
    running = np.zeros(3)
    pool = _FeaturePool(split, rng, frame, interval + 1)
    while (elapsed := time.monotonic() - started) < budget.seconds:
        a, f, image = pool.batch(rng)
        a_r, f_r = (item[:, :1].expand(-1, interval, -1, -1, -1).flatten(0, 1) for item in (a, f))
        a_t, f_t, image_t = (item[:, 1:].flatten(0, 1) for item in (a, f, image))
        tensors = block.trace(a_r, a_t, f_r, detach_aligned=True)
        parts = torch.stack(
            (
                functional.l1_loss(block.aligned_reference(tensors), f_t),
                functional.l1_loss(tensors.f_hat, f_t),
                functional.l1_loss(split.decoder(tensors.f_hat), image_t),
            )
        )
        loss = parts @ parts.new_tensor((LAMBDA_ALIGN, LAMBDA_FEATURE, LAMBDA_OUTPUT))
        for group in optimiser.param_groups:
            group["lr"] = budget.rate(elapsed)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(block.parameters(), 5.0)
        optimiser.step()
        running += (parts.detach().numpy() - running) * (0.05 if step else 1.0)
        if step % 25 == 0:
            _log_block(log, step, elapsed, running, budget.rate(elapsed))
        step += 1
    _log_block(log, step, time.monotonic() - started, running, 0.0)


class _FeaturePool:
    """Clips as the frozen teacher sees them; each is used a few times, since the teacher is the dear part."""

    _KEPT, _PER_STEP = 96, 2

    def __init__(self, split: Split, rng: np.random.Generator, frame: tuple[int, int], length: int) -> None:
        self._split, self._frame, self._length = split, frame, length
        self._size = (frame[0] // 2, frame[1] // 2)
        self._clips = [self._draw(rng) for _ in range(8)]
        self._oldest = 0

    @torch.no_grad()
    def _draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        frames = to_unit(clips(rng, 1, self._length, *self._size, self._frame)[0])
        a = self._split.encoder(frames)
        f = self._split.middle(a)
        return a, f, self._split.decoder(f)

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Clips of (a, f, picture), each [n, length, C, h, w], forwards or backwards; one clip is renewed at
        every second step, all of them while the pool still fills."""
        if len(self._clips) < self._KEPT:
            self._clips.append(self._draw(rng))
        elif rng.random() < 0.5:
            self._clips[self._oldest] = self._draw(rng)
            self._oldest = (self._oldest + 1) % self._KEPT
        taken = [self._clips[index] for index in rng.integers(0, len(self._clips), self._PER_STEP)]
        a, f, image = (torch.stack([clip[part] for clip in taken]) for part in range(3))
        return (a.flip(1), f.flip(1), image.flip(1)) if rng.random() < 0.5 else (a, f, image)


def _log_block(log: Log, step: int, elapsed: float, parts: npt.NDArray[np.float64], rate: float) -> None:
    log(
        {
            "stage": "block",
            "step": step,
            "seconds": round(elapsed, 1),
            "align": round(float(parts[0]), 5),
            "feature": round(float(parts[1]), 5),
            "output": round(float(parts[2]), 5),
            "rate": rate,
        }
    )
