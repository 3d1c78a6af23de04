"""The machine's numbers as consts: coefficients of T steps, and the noise that every frame shares."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from v2v_export.diffusion.geometry import latent_spec
from v2v_export.diffusion.samplers import Table, ddim, indexed, lcm, tcd, turbo
from v2v_export.system import FrameSize
from v2v_export.systems.stream_diffusion.options import StreamDiffusionOptions


def sampler_table(options: StreamDiffusionOptions) -> Table:
    """The steps of ``t_index_list``, for a prediction of noise.

    A network that predicts v has its output turned into noise first (``noise_coefficients``), so that
    guidance acts on the same quantity.

    Raises:
        SamplerError: V2V-E6154, indices that do not rise from 0 to 49; V2V-E6151, a gamma outside [0, 1].
    """
    timesteps = indexed(options.t_index_list)
    if options.sampler == "tcd":
        return tcd(timesteps, options.fresh)
    if options.sampler == "ddim":
        return ddim(timesteps)
    return turbo(timesteps) if options.sampler == "turbo" else lcm(timesteps)


def constants(options: StreamDiffusionOptions, init_noise: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Const -> values: start [2], timesteps [T], coefficients [T, 3], init_noise [T, 4, h, w]; where the
    options need them stock_coefficients [T, 3] and noise_coefficients [T, 2].
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
        made["stock_coefficients"] = _stock(table).astype(np.float32)
    if options.velocity:
        # v = alpha noise - beta x0 and x = alpha x0 + beta noise, so noise = beta x + alpha v.
        made["noise_coefficients"] = np.stack([table.beta, table.alpha], 1).astype(np.float32)
    return made


def _stock(table: Table) -> NDArray[np.float64]:
    """[T, 3]: the residual noise S becomes ``k S + g eps + n noise`` in the next row.

    A row's latent is alpha z + beta S, and its step takes that on; what of the result is not the frame's own
    latent, over the next row's beta, is S there. The last row's clean estimate and noise are kept as
    published.
    """
    following = table.beta[1:]
    moved = [table.a[:-1] * table.beta[:-1] / following, table.b[:-1] / following, table.c[:-1] / following]
    last = [table.clean_a[-1] * table.beta[-1], table.clean_b[-1], 1.0]
    return np.vstack([np.stack(moved, 1), last])


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
