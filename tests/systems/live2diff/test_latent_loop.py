"""The literal loop against the published pipeline's own latents, its UNet's answers played back."""

from __future__ import annotations

import pytest
import torch
from golden_data import golden_config, golden_tensors
from torch import Tensor
from v2v_export.diffusion.samplers import NoiseSchedule, indexed, lcm
from v2v_export.systems.live2diff.latent_loop import LatentLoop, levels

SET = "live2diff"


class Played:
    """Answers what the published UNet answered, and keeps what it was asked."""

    def __init__(self, data: dict[str, Tensor], rule: str = "") -> None:
        self.data, self.rule = data, rule
        self.asked: list[Tensor] = []

    def reset(self) -> None:
        self.asked.clear()

    def warmup(self, row: int, sample: Tensor, depth: Tensor, timestep: int, prompt: Tensor) -> Tensor:
        self.asked.append(sample)
        # [T, 1, 4, 8, h, w] in the data: frames behind channels.
        return self.data["warm.unet_eps"][row, 0].transpose(0, 1)

    def step(self, number: int, sample: Tensor, depth: Tensor, timesteps: Tensor, prompt: Tensor) -> Tensor:
        self.asked.append(sample)
        assert torch.equal(timesteps, self.data["timesteps"])
        return self.data[f"{self.rule}stream.unet_eps"][number, :, :, 0]


@pytest.fixture(scope="module")
def data() -> dict[str, Tensor]:
    return golden_tensors(SET, "stream")


def test_levels_are_the_published_ones(data: dict[str, Tensor]) -> None:
    found = levels(data["timesteps"].tolist())
    for name in ("alpha", "beta", "c_out"):
        torch.testing.assert_close(getattr(found, name).float(), data[f"coef.{name}"], atol=0, rtol=1e-6)
    torch.testing.assert_close(found.c_skip.float(), data["coef.c_skip"], atol=0, rtol=1e-5)


@pytest.mark.parametrize(
    ("indices", "timesteps", "alpha", "beta"),
    [
        ((30, 40), (399, 199), (0.539860, 0.821793), (0.841755, 0.569786)),
        ((30, 36, 42), (399, 279, 159), (0.539860, 0.713594, 0.870127), (0.841755, 0.700559, 0.492828)),
        (
            (20, 27, 34, 41),
            (599, 459, 319, 179),
            (0.283359, 0.455556, 0.656080, 0.846562),
            (0.959014, 0.890207, 0.754691, 0.532291),
        ),
    ],
)
def test_levels_of_other_steps(
    indices: tuple[int, ...], timesteps: tuple[int, ...], alpha: tuple[float, ...], beta: tuple[float, ...]
) -> None:
    # The numbers are the published configurations', to the six digits that they were noted with.
    table = lcm(indexed(indices), NoiseSchedule("linear"))
    assert tuple(table.timesteps) == timesteps
    for values in (levels(timesteps).alpha.tolist(), table.alpha.tolist()):
        assert values == pytest.approx(alpha, abs=1e-6)
    for values in (levels(timesteps).beta.tolist(), table.beta.tolist()):
        assert values == pytest.approx(beta, abs=1e-6)


@pytest.mark.parametrize("rule", ["", "corrected."])
def test_loop_gives_the_published_latents(data: dict[str, Tensor], rule: str) -> None:
    played = Played(data, rule)
    loop = LatentLoop(played, data["timesteps"].tolist())
    embeds = data["prompt_embeds"]
    between = [noise[0].transpose(0, 1) for noise in data["warm.noise_step"]]
    made = loop.warmup(
        data["warm.frame_latents"], data["warm.depth_latents"], embeds, data["warm.noise_encode"], between
    )
    _close(made, data["warm.output_latents"])
    for row, sample in enumerate(played.asked):
        _close(sample, data["warm.unet_sample"][row, 0].transpose(0, 1))
    for step, latent in enumerate(data["stream.frame_latents"]):
        made = loop.step(
            latent,
            data["stream.depth_latents"][step],
            embeds,
            data["stream.noise_encode"][step],
            list(data["stream.noise_renoise"][step][:, None, :, 0]),
        )
        assert loop.seen is not None
        _close(loop.seen.sample, data[f"{rule}stream.unet_sample"][step, :, :, 0])
        _close(loop.seen.depth, data["stream.unet_depth_sample"][step, :, :, 0])
        _close(made, data[f"{rule}stream.output_latents"][step])
        if not rule:
            _close(loop.seen.clean, data["stream.x0_batch"][step, :, :, 0])
            assert loop.x_buffer is not None
            _close(loop.x_buffer, data["stream.x_t_buffer_after"][step, :, :, 0])
    assert golden_config(SET)["T"] == loop.rows


def _close(seen: Tensor, expected: Tensor) -> None:
    # Ten times tighter than the data's own limit for streams: here the UNet adds nothing.
    torch.testing.assert_close(seen, expected, atol=3e-5, rtol=0)


def test_without_noise_between_steps_only_the_picture_moves_on(data: dict[str, Tensor]) -> None:
    loop = LatentLoop(Played(data), data["timesteps"].tolist(), add_noise=False)
    shape = data["warm.frame_latents"].shape
    embeds, nothing = data["prompt_embeds"], torch.full(shape, torch.nan)
    loop.warmup(
        data["warm.frame_latents"],
        data["warm.depth_latents"],
        embeds,
        data["warm.noise_encode"],
        [nothing] * (loop.rows - 1),
    )
    assert loop.seen is not None
    expected = levels(data["timesteps"].tolist()).alpha[1].float() * loop.seen.clean[0]
    torch.testing.assert_close(loop.seen.sample[1], expected)
