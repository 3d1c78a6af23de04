"""The exported arithmetic, eager: against every case of the authors' loop with recorded predictions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.stream_golden import case_tensors, cases, frames, image_cases
from torch import Tensor, nn
from v2v_export.diffusion.configs import ARCHITECTURES, build
from v2v_export.systems.stream_diffusion.graphs import UnetStep
from v2v_export.systems.stream_diffusion.options import StreamDiffusionOptions
from v2v_export.systems.stream_diffusion.tables import constants


class Recorded(nn.Module):
    """Stands in for the UNet."""

    def __init__(self, data: dict[str, Tensor], rows: int) -> None:
        super().__init__()
        self.data, self.rows, self.call = data, rows, 0

    def forward(self, x: Tensor, t: Tensor, cross: list[Tensor], added: Tensor | None) -> Tensor:
        raw = self.data["unet_out"][self.call]
        self.call += 1
        if len(x) != len(raw):
            # With guidance off the authors' code leaves unconditional rows out; a graph has them always.
            raw = torch.cat([torch.full_like(raw[: len(x) - len(raw)], torch.nan), raw])
        else:
            assert t.tolist() == self.data["unet_t"][self.call - 1].tolist()
        return raw


def play(name: str, changes: dict[str, Any] | None = None) -> list[dict[str, Tensor]]:
    case, data = {**cases()[name], **(changes or {})}, case_tensors(name)
    options = StreamDiffusionOptions(
        t_index_list=tuple(case["t_index_list"]), cfg=case["cfg_type"], add_noise=case["do_add_noise"]
    )
    table = {k: torch.from_numpy(v) for k, v in constants(options, data["init_noise"].numpy()).items()}
    net = build(ARCHITECTURES["tiny_sd15"])
    step = UnetStep(net, torch.float32, {}, rows=options.rows, cfg=options.cfg)
    step.unet = Recorded(data, options.rows)  # type: ignore[assignment]  # a stand-in of the same signature
    buffer, stock = torch.zeros_like(data["init_noise"][1:]), torch.zeros_like(data["init_noise"])
    made = []
    for call in range(case["calls"]):
        z = frames()[call : call + 1]
        x_new = table["start"][0] * z + table["start"][1] * table["init_noise"][:1]
        ports = [x_new, *([buffer] if options.rows > 1 else [])]
        ports += [table["init_noise"], table["timesteps"], table["coefficients"]]
        if options.cfg != "none":
            ports.append(torch.tensor([float(case["guidance_scale"])]))
        if options.residual:
            ports += [torch.tensor([float(case["delta"])]), stock, table["stock_coefficients"]]
        outputs = list(step(*ports, *[torch.zeros(0)] * step.cross_count))
        if options.rows > 1:
            buffer = outputs.pop(0)
        if options.residual:
            stock = outputs.pop(0)
        clean, ok, _ = outputs
        assert bool(ok)
        made.append({"x_new": x_new, "clean": clean, "buffer": buffer, "stock": stock})
    return made


def close(seen: Tensor, expected: Tensor) -> None:
    assert seen.shape == expected.shape
    scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
    assert seen.numel() == 0 or float((seen - expected).abs().max()) <= 1e-5 * scale


@pytest.mark.parametrize("name", image_cases(1))
def test_step_of_the_graph_is_the_authors(name: str) -> None:
    data = case_tensors(name)
    for call, made in enumerate(play(name)):
        close(made["x_new"], data["x_t_new"][call])
        close(made["clean"], data["outputs"][call])
        if "x_t_latent_buffer" in data:
            close(made["buffer"], data["x_t_latent_buffer"][call])
        if cases()[name]["cfg_type"] in ("self", "initialize"):
            close(made["stock"], data["stock_noise"][call])


@pytest.mark.parametrize("name", [name for name in image_cases(1) if cases()[name]["cfg_type"] != "none"])
def test_guidance_of_one_is_off(name: str) -> None:
    """Guidance at most 1 leaves the conditional prediction as it is: the first call shows it."""
    off = play(name, {"guidance_scale": 1.0, "calls": 1})[0]
    lower = play(name, {"guidance_scale": 0.3, "calls": 1})[0]
    data = case_tensors(name)
    rows = len(cases()[name]["t_index_list"])
    raw = data["unet_out"][0][-rows:]
    alpha, beta = data["alpha_prod_t_sqrt"], data["beta_prod_t_sqrt"]
    x = torch.cat([data["x_t_new"][0], *[torch.zeros_like(data["x_t_new"][0])] * (rows - 1)])
    x0 = data["c_out"] * (x - beta * raw) / alpha + data["c_skip"] * x
    for seen in (off, lower):
        close(seen["clean"], x0[-1:])
