"""The step that is exported: one UNet call over all rows, and everything that happens to latents around it.

Latents and all arithmetic on them are float32 in every variant; only the network runs in half precision.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from v2v_export.diffusion.unet import StreamUNet
from v2v_export.export.finite import all_finite
from v2v_export.systems.stream_diffusion.options import CfgType


class UnetStep(nn.Module):
    """One call of the machine: T rows from noisiest to cleanest, one of them new, one of them done.

    Ports, in order: x_new [1, 4, h, w]; x_buf [T - 1, 4, h, w], for T > 1; init_noise [T, 4, h, w]; timesteps
    int64 [T]; coefficients [T, 3]; with guidance, guidance [1]; with residual guidance, delta [1], stock
    [T, 4, h, w] and stock_coefficients [T, 3]; where the UNet predicts v, noise_coefficients [T, 2]; k and v
    of every cross-attention; for SDXL, added.

    Returns new_x_buf (for T > 1), new_stock (with residual guidance), clean [1, 4, h, w], ok | eps.

    A row's step is ``A x + B eps + C noise``, the noise that of the row that it goes to. Residual noise takes
    the same step from ``beta S``, over the next row's beta: ``stock_coefficients`` holds the factors of S,
    eps and noise in that.
    """

    def __init__(
        self,
        unet: nn.Module,
        dtype: torch.dtype,
        lowering: Mapping[str, str],
        *,
        rows: int,
        cfg: CfgType,
        velocity: bool = False,
    ) -> None:
        super().__init__()
        self.unet = StreamUNet(unet, dtype, lowering)
        self.dtype, self.rows, self.cfg, self.velocity = dtype, rows, cfg, velocity
        self.residual = cfg in ("self", "initialize")
        self.cross_count = 2 * len(self.unet.cross_layers)

    def forward(self, x_new: Tensor, *ports: Tensor) -> tuple[Tensor, ...]:
        given = iter(ports)
        x = torch.cat((x_new, next(given))) if self.rows > 1 else x_new
        noise, timesteps, coefficients = next(given), next(given), next(given)
        guidance = next(given) if self.cfg != "none" else None
        delta, stock, stock_table = (next(given) if self.residual else x for _ in range(3))
        noise_table = next(given) if self.velocity else None
        cross = [next(given) for _ in range(self.cross_count)]
        added = next(given, None)

        uncond, cond = self._predict(x, timesteps, noise_table, cross, added)
        eps = cond
        if guidance is not None:
            # At most 1 is off, as published; a select, so that what is off cannot spread a NaN.
            active = guidance.view(1, 1, 1, 1) > 1.0
            if self.residual:
                stock = self._shifted(stock, noise, uncond, active)
                uncond = delta * stock
            assert uncond is not None
            eps = torch.where(active, uncond + guidance * (cond - uncond), cond)

        following = torch.cat((noise[1:], noise[:1]))
        a, b, c = (column.view(-1, 1, 1, 1) for column in coefficients.unbind(1))
        stepped = a * x + b * eps + c * following
        state = [stepped[:-1]] if self.rows > 1 else []
        checked = [stepped]
        if self.residual:
            kept, gained, fresh = (column.view(-1, 1, 1, 1) for column in stock_table.unbind(1))
            new_stock = fresh * following + kept * stock + gained * eps
            state.append(new_stock)
            checked.append(new_stock)
        return *state, stepped[-1:], all_finite(*checked), eps

    def _predict(
        self,
        x: Tensor,
        timesteps: Tensor,
        noise_table: Tensor | None,
        cross: list[Tensor],
        added: Tensor | None,
    ) -> tuple[Tensor | None, Tensor]:
        """Unconditional rows (T of them, the first alone, or none) and conditional rows, as noise."""
        ahead = {"full": self.rows, "initialize": 1}.get(self.cfg, 0)
        sample = torch.cat((x[:ahead], x)) if ahead else x
        t = torch.cat((timesteps[:ahead], timesteps)) if ahead else timesteps
        predicted = self.unet(sample.to(self.dtype), t, cross, added).float()
        if noise_table is not None:
            table = torch.cat((noise_table[:ahead], noise_table)) if ahead else noise_table
            of_x, of_output = (column.view(-1, 1, 1, 1) for column in table.unbind(1))
            predicted = of_x * sample + of_output * predicted
        return (predicted[:ahead] if ahead else None), predicted[ahead:]

    def _shifted(self, stock: Tensor, noise: Tensor, uncond: Tensor | None, active: Tensor) -> Tensor:
        """Residual noise moved on with its rows; the newest row starts from noise, or from a prediction."""
        first = noise[:1] if self.rows > 1 else stock
        if uncond is not None:
            first = torch.where(active, uncond, first)
        return torch.cat((first, stock[:-1])) if self.rows > 1 else first
