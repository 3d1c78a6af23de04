from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from v2v_export.systems.shortcut_v2v.model import Level
from v2v_export.systems.shortcut_v2v.random_weights import random_block, random_teacher


def test_a_seed_gives_the_same_weights_whatever_torchs_generator_does() -> None:
    torch.manual_seed(1)
    first = random_teacher(7, 4, 1).state_dict() | random_block(7, 8, 4).state_dict()
    torch.manual_seed(2)
    again = random_teacher(7, 4, 1).state_dict() | random_block(7, 8, 4).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(random_block(8, 8, 4).state_dict()["cr1.0.weight"], first["cr1.0.weight"])


def test_every_tensor_has_values_of_its_own() -> None:
    block = random_block(7, 8, 4)
    assert not torch.equal(block.cr1[0].weight, block.cr2[0].weight)
    assert all(parameter.std() > 0 for parameter in block.parameters())


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_frames_move_and_blend(level: Level, seed: int) -> None:
    teacher = random_teacher(seed, 16)
    split = teacher.split(level)
    block = random_block(seed, split.channels, split.channels // 2)
    rng = torch.Generator().manual_seed(seed)
    wide = (
        functional.interpolate(torch.rand(1, 3, 8, 12, generator=rng), scale_factor=8, mode="bilinear") * 2
        - 1
    )
    before, now = split.encoder(wide[..., :64]), split.encoder(wide[..., 2:66])
    trace = block.trace(before, now, split.middle(before))
    low, high = torch.quantile(trace.mask.flatten()[:50_000], torch.tensor([0.05, 0.95]))
    assert low < 0.25
    assert high > 0.75
    assert 0.2 < trace.global_offset.std() < 8
    assert 0.5 < trace.local_offset.std() < 8
    assert trace.local_offset.abs().max() < 30
    blended = [trace.Y_cur.std(), trace.Y_ref.std()]
    assert max(blended) < 5 * min(blended)
    picture = split.decoder(trace.f_hat)
    assert picture.std() > 0.1
    assert (picture.abs() > 0.99).float().mean() < 0.05
    assert (picture - split.decoder(split.middle(before))).std() > 0.01
