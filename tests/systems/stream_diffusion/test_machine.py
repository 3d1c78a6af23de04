"""The literal machine: scalar vectors worked out by hand, and every case of the authors' loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from golden_data import golden_tensors
from support.stream_golden import (
    SET,
    case_tensors,
    cases,
    frames,
    image_cases,
    machine_of,
    text_cases,
    unet_folder,
)
from torch import Tensor
from v2v_export.systems.stream_diffusion.machine import LatentMachine
from v2v_export.systems.stream_diffusion.schedule import literal_steps

# Latents of one number; the "UNet" gives 0.1 x for conditional rows and 0.05 x for unconditional ones; the
# frames are 1, 2, 3, 4, 5. Outputs of the five calls, the buffer and the stock noise after the last, to six
# places, from a schedule accumulated in float32 (1e-6 relative; residual guidance feeds it back).
SCALARS: dict[str, tuple[Any, ...]] = {
    "A": ([32], "none", 1.0, 1.0, [0.5], [1.400998, 2.329689, 3.258380, 4.187071, 5.115762], [], [0.0]),
    "B": (
        [32, 45], "none", 1.0, 1.0, [0.5, -0.25],
        [0, 1.273044, 2.171708, 3.070372, 3.969037], [4.760157], [0.5, 0.5],
    ),
    "C": (
        [32, 45], "self", 1.4, 0.5, [0.5, -0.25],
        [0, 1.386911, 2.226366, 3.065820, 3.905274], [4.707724], [-0.073366, 0.405274],
    ),
    "D": (
        [32, 45], "initialize", 1.4, 1.0, [0.5, -0.25],
        [0, 1.171200, 2.024271, 2.877342, 3.730413], [4.685814], [-1.054767, -0.117410],
    ),
    "E": (
        [32, 45], "full", 1.4, 1.0, [0.5, -0.25],
        [0, 1.243857, 2.122807, 3.001758, 3.880708], [4.685814], [0.5, 0.5],
    ),
    "F": (
        [30, 35, 40, 45], "none", 1.0, 1.0, [0.5, -0.25, 0.125, 1],
        [0, 0.330627, 0.396080, 1.475075, 2.270899], [3.809254, 3.337047, 2.998969], [0.5] * 4,
    ),
    "G": ([32], "self", 1.4, 1.0, [0.5], [1.357968, 2.400290, 3.462267, 4.552236, 5.682064], [], [2.482057]),
}  # fmt: skip


def scalar_unet(x: Tensor, t: Tensor, uncond: tuple[bool, ...]) -> Tensor:
    return x * torch.tensor([0.05 if row else 0.1 for row in uncond], dtype=x.dtype).view(-1, 1, 1, 1)


@pytest.mark.parametrize("case", SCALARS)
def test_scalar_vectors(case: str) -> None:
    indices, cfg, guidance, delta, noise, outputs, buffer, stock = SCALARS[case]
    machine = LatentMachine(
        literal_steps(indices),
        torch.tensor(noise).view(-1, 1, 1, 1),
        scalar_unet,
        cfg=cfg,
        guidance=guidance,
        delta=delta,
    )
    seen = [float(machine.step(torch.full((1, 1, 1, 1), float(frame)))) for frame in range(1, 6)]
    assert seen == pytest.approx(outputs, rel=3e-6, abs=2e-6)
    assert machine.buffer.flatten().tolist() == pytest.approx(buffer, rel=3e-6, abs=2e-6)
    assert machine.stock.flatten().tolist() == pytest.approx(stock, rel=3e-6, abs=2e-6)


class Replay:
    """Hands out recorded predictions, and checks what it was asked."""

    def __init__(self, data: dict[str, Tensor], exact_t: bool = True) -> None:
        self.data, self.exact_t, self.call = data, exact_t, 0

    def __call__(self, x: Tensor, t: Tensor, uncond: tuple[bool, ...]) -> Tensor:
        raw = self.data["unet_out"][self.call]
        assert len(x) == len(t) == len(uncond) == len(raw)
        if "unet_t" in self.data:
            assert t.tolist() == self.data["unet_t"][self.call].tolist()
            assert uncond == tuple(bool(flag) for flag in self.data["prompt_rows_is_uncond"])
        if "unet_in" in self.data:
            apart(x, self.data["unet_in"][self.call], 1e-5)
        self.call += 1
        return raw.to(x.dtype)


def apart(seen: Tensor, expected: Tensor, relative: float) -> None:
    """Asserts that two tensors differ by at most ``relative`` of the larger one's scale."""
    assert seen.shape == expected.shape
    scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
    largest = float((seen - expected).abs().max()) if expected.numel() else 0.0
    assert largest <= relative * scale, f"{largest:.3g} of {scale:.3g}"


@pytest.mark.parametrize("name", image_cases())
def test_golden_case_with_recorded_predictions(name: str) -> None:
    data, case = case_tensors(name), cases()[name]
    machine = machine_of(name, Replay(data))
    group = case["frame_buffer_size"]
    for call in range(case["calls"]):
        z = frames()[call * group : (call + 1) * group]
        apart(machine.noised(z), data["x_t_new"][call], 1e-5)
        apart(machine.step(z), data["outputs"][call], 1e-5)
        if "x_t_latent_buffer" in data:
            apart(machine.buffer, data["x_t_latent_buffer"][call], 1e-5)
        if "stock_noise" in data:
            apart(machine.stock, data["stock_noise"][call], 1e-5)


@pytest.mark.parametrize("name", text_cases())
def test_golden_case_from_text_alone(name: str) -> None:
    """The same rows, begun from pure noise in place of a noised frame."""
    data = case_tensors(name)
    machine = machine_of(name, Replay(data))
    for call in range(cases()[name]["calls"]):
        apart(machine.step_noised(data["draws"][call]), data["outputs"][call], 1e-5)
    if "final_x_t_latent_buffer" in data:
        apart(machine.buffer, data["final_x_t_latent_buffer"], 1e-5)


@pytest.mark.skipif(unet_folder() is None, reason="the trimmed set has no UNet: set V2V_GOLDEN")
@pytest.mark.parametrize("name", image_cases())
def test_golden_case_with_the_unet(name: str) -> None:
    """The whole step, through diffusers' own UNet."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(unet_folder(), torch_dtype=torch.float32).eval()
    inputs = golden_tensors(SET, "inputs")

    def predict(x: Tensor, t: Tensor, uncond: tuple[bool, ...]) -> Tensor:
        rows = [inputs["prompt_uncond" if row else "prompt_cond"] for row in uncond]
        prediction: Tensor = unet(x, t, torch.cat(rows), return_dict=False)[0]
        return prediction

    data, case = case_tensors(name), cases()[name]
    machine = machine_of(name, predict)
    group = case["frame_buffer_size"]
    for call in range(case["calls"]):
        seen = machine.step(frames()[call * group : (call + 1) * group])
        assert float((seen - data["outputs"][call]).abs().max()) < 1e-4


@pytest.mark.parametrize("guidance", [1.0, 1.6])
@pytest.mark.parametrize("sampler", ["lcm", "tcd", "ddim", "turbo"])
def test_residual_noise_is_what_makes_a_latent_from_its_frame(sampler: Any, guidance: float) -> None:
    """x = alpha z + beta S in every row that a frame has reached, whatever guidance has done to it.

    That is what the virtual residual noise is (section 3.2 of the paper).
    """
    indices, generator = (20, 30, 40, 45), torch.Generator().manual_seed(3)
    z, noise = torch.randn((2, 6, 4, 2, 2), generator=generator, dtype=torch.float64)
    steps = literal_steps(indices, torch.float64, sampler)

    def predict(x: Tensor, t: Tensor, uncond: tuple[bool, ...]) -> Tensor:
        return 0.9 * torch.tanh(x)

    machine = LatentMachine(steps, noise[: len(indices)], predict, cfg="self", guidance=guidance)
    for call in range(len(z)):
        machine.step(z[call : call + 1])
        for row in range(min(call + 1, len(indices) - 1)):
            own, stock = z[call - row : call - row + 1], machine.stock[row : row + 1]
            made = steps.alpha[row + 1] * own + steps.beta[row + 1] * stock
            # LCM's boundary condition takes a little more than alpha z on: 1e-7 of it.
            apart(machine.buffer[row : row + 1], made, 1e-6 if sampler == "lcm" else 1e-12)


def test_reset_begins_again() -> None:
    kinds = {cases()[name]["cfg_type"]: name for name in image_cases(1)}
    name = kinds.get("initialize", image_cases(1)[0])  # it carries the most along
    data = case_tensors(name)
    machine = machine_of(name, Replay(data))
    first = [machine.step(z[None]) for z in frames()[:3]]
    machine.reset()
    machine.predict = Replay(data)
    assert all(torch.equal(machine.step(z[None]), out) for z, out in zip(frames()[:3], first, strict=True))
