"""The literal schedule of StreamDiffusion: an LCM scheduler of 50 steps, from its definition.

1000 training steps whose betas are the squares of 1000 equal steps from sqrt(0.00085) to sqrt(0.012); index i
of ``t_index_list`` names the timestep 999 - 20 i; the boundary condition of consistency models has sigma_data
0.5 and scales timesteps by 10. The exported tables come from ``v2v_export.diffusion.samplers``; this is what
they are judged by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

INDICES = 50
"""Indices that ``t_index_list`` chooses from; a higher one has less noise."""

_TRAINED = 1000
_SIGMA_DATA = 0.5
_TIMESTEP_SCALING = 10.0


@dataclass(frozen=True)
class Steps:
    """Coefficients of T denoising steps, noisiest first.

    Attributes:
        timesteps: int64 [T].
        alpha: sqrt of the cumulative product of 1 - beta at those timesteps, [T, 1, 1, 1].
        beta: sqrt of one minus that product, [T, 1, 1, 1].
        c_skip, c_out: the boundary condition's weights of the input and of the prediction, [T, 1, 1, 1].
    """

    timesteps: Tensor
    alpha: Tensor
    beta: Tensor
    c_skip: Tensor
    c_out: Tensor


def literal_steps(t_index_list: Sequence[int], dtype: torch.dtype = torch.float32) -> Steps:
    """The steps of a list of indices.

    The products are float32, as in the scheduler that the models were trained with; what follows from them
    is computed in float64 and rounded once to ``dtype``.
    """
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, _TRAINED).square()
    products = torch.cumprod(1.0 - betas, 0).double()
    stride = _TRAINED // INDICES
    timesteps = torch.tensor([_TRAINED - 1 - stride * index for index in t_index_list])
    scaled = timesteps.double() * _TIMESTEP_SCALING
    power = scaled.square() + _SIGMA_DATA**2

    def column(values: Tensor) -> Tensor:
        return values.to(dtype).view(-1, 1, 1, 1)

    return Steps(
        timesteps=timesteps,
        alpha=column(products[timesteps].sqrt()),
        beta=column((1.0 - products[timesteps]).sqrt()),
        c_skip=column(_SIGMA_DATA**2 / power),
        c_out=column(scaled / power.sqrt()),
    )
