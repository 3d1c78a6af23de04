"""Second stage: the shortcut block learns the frozen teacher's features.

The losses are those of Shortcut-V2V that need no second network: alignment (equation 8), feature (equation
11) and output distillation (equation 12), weighted 5, 5, 10 as published, with the gradient stopped at the
globally aligned reference where the method stops it. The adversarial (14, 15) and perceptual (13) terms are
left out: a discriminator and a VGG are larger than everything trained here, and the goal is fidelity to the
teacher, which the three terms measure directly.

Two things are not the paper's. Errors of features are measured in units of the features' spread, since the
published weights suit features about as large as pictures; and over the last third of the training the
weight of the output term rises, since the picture is what is looked at.
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
_SPREAD = 0.15
"""What the spread of the decoder feature counts as in the feature terms; a picture's is about 0.5."""
_LAST_OUTPUT = 8.0
"""How many times LAMBDA_OUTPUT the output term weighs at the end."""


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
            weight.normal_(0, 0.005)
            weight[:, :, 1, 1] += torch.eye(block.h)


@torch.no_grad()
def start_from_components(block: ShortcutBlock, a: Tensor, f: Tensor) -> None:
    """Start the block's reductions at the principal components of the decoder feature, in place.

    ``recon_ref`` draws from ``h`` channels, so an estimate lies in ``h`` directions of the feature space
    whatever comes before it. The strongest ``h / 2`` are the natural first choice, each held as two channels,
    positive and negative part, to pass the ReLU; zero, which the deformable convolutions read outside the
    picture, then is the mean. ``cr1`` reads them off ``f``, ``cr2`` guesses them from ``a`` by least squares.

    Args:
        block: of the C channels of both features; modified.
        a, f: encoder and decoder features of the same frames, [N, C, H, W].
    """
    flat_a, flat_f = (item.movedim(1, -1).flatten(0, 2).double() for item in (a, f))
    mean = flat_f.mean(0)
    _, directions = torch.linalg.eigh(torch.cov((flat_f - mean).T))
    basis = directions[:, -(block.h // 2) :].T
    scale = ((flat_f - mean) @ basis.T).std(0, keepdim=True).T
    read = basis / scale
    padded = functional.pad(flat_a, (0, 1), value=1.0)
    guess = torch.linalg.lstsq(padded, (flat_f - mean) @ read.T).solution.T
    for reduction, weight, bias in (
        (block.cr1[0], read, -read @ mean),
        (block.cr2[0], guess[:, :-1], guess[:, -1]),
    ):
        assert isinstance(reduction, nn.Conv2d)
        assert reduction.bias is not None
        reduction.weight.copy_(torch.cat((weight, -weight))[:, :, None, None])
        reduction.bias.copy_(torch.cat((bias, -bias)))
    write = (basis * scale).T
    assert block.recon_ref.bias is not None
    block.recon_ref.weight.copy_(torch.cat((write, -write), dim=1)[:, :, None, None])
    block.recon_ref.bias.copy_(mean)


def train_block(
    block: ShortcutBlock,
    split: Split,
    rng: np.random.Generator,
    frame: tuple[int, int],
    interval: int,
    budget: Budget,
    log: Log,
) -> None:
    """Train the block against the frozen teacher, in place; it starts from components.

    A clip of ``interval + 1`` frames gives the pairs of gap 1 to ``interval`` to its first frame. The paper
    draws gaps up to ``interval - 1``; its "shortcut" schedule uses the block at ``interval`` too, so it is
    trained there.
    """
    optimiser = torch.optim.Adam(block.parameters(), lr=budget.peak, betas=(0.5, 0.999))
    started = time.monotonic()
    step = 0
    running = np.zeros(3)
    pool = _FeaturePool(split, rng, frame, interval + 1)
    a, f, _ = pool.all()
    start_from_components(block, a, f)
    unit = float(_SPREAD / f.std())
    while (elapsed := time.monotonic() - started) < budget.seconds:
        a, f, image = pool.batch(rng)
        a_r, f_r = (item[:, :1].expand(-1, interval, -1, -1, -1).flatten(0, 1) for item in (a, f))
        a_t, f_t, image_t = (item[:, 1:].flatten(0, 1) for item in (a, f, image))
        tensors = block.trace(a_r, a_t, f_r, detach_aligned=True)
        parts = torch.stack(
            (
                functional.l1_loss(block.aligned_reference(tensors), f_t) * unit,
                functional.l1_loss(tensors.f_hat, f_t) * unit,
                functional.l1_loss(split.decoder(tensors.f_hat), image_t),
            )
        )
        rise = 1 + (_LAST_OUTPUT - 1) * max(0.0, 3 * elapsed / budget.seconds - 2)
        loss = parts @ parts.new_tensor((LAMBDA_ALIGN, LAMBDA_FEATURE, rise * LAMBDA_OUTPUT))
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

    _FIRST, _KEPT, _PER_STEP, _RENEWED = 8, 96, 1, 0.35

    def __init__(self, split: Split, rng: np.random.Generator, frame: tuple[int, int], length: int) -> None:
        self._split, self._frame, self._length = split, frame, length
        self._size = (frame[0] // 2, frame[1] // 2)
        self._clips = [self._draw(rng) for _ in range(self._FIRST)]
        self._oldest = 0

    @torch.no_grad()
    def _draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        frames = to_unit(clips(rng, 1, self._length, *self._size, self._frame)[0])
        a = self._split.encoder(frames)
        f = self._split.middle(a)
        return a, f, self._split.decoder(f)

    def all(self) -> tuple[Tensor, Tensor, Tensor]:
        """The clips kept now as one batch of frames: (a, f, picture), each [n, C, h, w]."""
        a, f, image = (torch.cat([clip[part] for clip in self._clips]) for part in range(3))
        return a, f, image

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Clips of (a, f, picture), each [n, length, C, h, w], forwards or backwards; at about every third
        step one clip is drawn, beside the others while the pool fills and then in place of the oldest."""
        if rng.random() < self._RENEWED:
            if len(self._clips) < self._KEPT:
                self._clips.append(self._draw(rng))
            else:
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
