"""The machine's numbers as consts: coefficients of T steps, and the noise that every frame shares."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from v2v_export.diffusion.geometry import latent_spec
from v2v_export.diffusion.samplers import Table, indexed, lcm
from v2v_export.system import FrameSize
from v2v_export.systems.stream_diffusion.options import StreamDiffusionOptions


def sampler_table(options: StreamDiffusionOptions) -> Table:
    """The steps of ``t_index_list``, for a prediction of noise.

    A network that predicts v has its output turned into noise first (``noise_coefficients``), so that
    guidance acts on the same quantity.

    Raises:
        SamplerError: V2V-E6154, indices that do not rise from 0 to 49.
    """
    return lcm(indexed(options.t_index_list))


def constants(options: StreamDiffusionOptions, init_noise: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Const -> values: start [2], timesteps [T], coefficients [T, 3], stock_coefficients and
    noise_coefficients [T, 2] where the options need them, init_noise [T, 4, h, w].
    """
    table = sampler_table(options)
    coefficients = table.coefficients()
    if not options.add_noise:
        coefficients[:, 2] = 0.0
    made: dict[str, NDArray[Any]] = {
        "start": np.array(table.start, np.float32),
        "timesteps": table.timesteps,
        "coefficients": coefficients,
        "init_noise": init_noise,
    }
    if options.residual:
        following = np.append(table.beta[1:], 1.0)
        stock = np.stack([table.a * table.beta / following, table.b / following], 1)
        made["stock_coefficients"] = stock.astype(np.float32)
    if options.velocity:
        # v = alpha noise - beta x0 and x = alpha x0 + beta noise, so noise = beta x + alpha v.
        made["noise_coefficients"] = np.stack([table.beta, table.alpha], 1).astype(np.float32)
    return made


def defaults(options: StreamDiffusionOptions) -> dict[str, NDArray[Any]]:
    """Param -> default: guidance and delta [1]."""
    return {name: np.array([getattr(options, name)], np.float32) for name in ("guidance", "delta")}


def draw_noise(options: StreamDiffusionOptions, size: FrameSize) -> NDArray[np.float32]:
    """Normal noise [T, 4, H / 8, W / 8], the same for every frame; row i noises the latents of row i.

    Drawn as the published code does, by torch's generator on the CPU, so that a seed means the same noise.
    """
    import torch

    generator = torch.Generator().manual_seed(options.seed)
    drawn: NDArray[np.float32] = torch.randn(
        latent_spec(size, options.rows).shape, generator=generator
    ).numpy()
    return drawn
