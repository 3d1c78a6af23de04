"""The literal steps of StreamDiffusion's samplers, each from its definition, in batched denoising.

1000 training steps whose betas are the squares of 1000 equal steps from sqrt(0.00085) to sqrt(0.012); index i
of ``t_index_list`` names the timestep 999 - 20 i. Row i of a batch is at the i-th of these; it moves on to
the next one's noise level, and the last row gives the result. The exported tables come from
``v2v_export.diffusion.samplers``; this is what they are judged by.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from v2v_export.systems.stream_diffusion.options import Sampler

INDICES = 50
"""Indices that ``t_index_list`` chooses from; a higher one has less noise."""

_TRAINED = 1000
_SIGMA_DATA = 0.5
_TIMESTEP_SCALING = 10.0


class Steps(ABC):
    """T denoising steps, noisiest first.

    The products of 1 - beta are float32, as in the scheduler that the models were trained with; what follows
    from them is computed in float64 and rounded once to ``dtype``.

    Attributes:
        timesteps: int64 [T].
        alpha: sqrt of the cumulative product of 1 - beta at those timesteps, [T, 1, 1, 1].
        beta: sqrt of one minus that product, [T, 1, 1, 1].
    """

    def __init__(self, t_index_list: Sequence[int], dtype: torch.dtype) -> None:
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, _TRAINED).square()
        self._products = torch.cumprod(1.0 - betas, 0).double()
        self._dtype = dtype
        stride = _TRAINED // INDICES
        self.timesteps = torch.tensor([_TRAINED - 1 - stride * index for index in t_index_list])
        self.alpha, self.beta = self.levels(self.timesteps)

    @abstractmethod
    def onward(self, x: Tensor, eps: Tensor, noise: Tensor) -> Tensor:
        """Rows 0 to T - 2 at the noise level of the row behind each.

        Args:
            x, eps: latents and their predicted noise, [T - 1, 4, h, w].
            noise: what is fresh in the row that each goes to.
        """

    @abstractmethod
    def result(self, x: Tensor, eps: Tensor) -> Tensor:
        """What the last row gives, for latents [F, 4, h, w] in it."""

    def clean(self, x: Tensor, eps: Tensor) -> Tensor:
        """The estimate of the clean latent in the last row."""
        return self.estimate(x, eps, slice(-1, None))

    def estimate(self, x: Tensor, eps: Tensor, rows: slice) -> Tensor:
        """x0, given the noise."""
        return (x - self.beta[rows] * eps) / self.alpha[rows]

    def levels(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and beta at some timesteps, [N, 1, 1, 1] each."""
        left = self._products[timesteps]
        return self.column(left.sqrt()), self.column((1.0 - left).sqrt())

    def column(self, values: Tensor) -> Tensor:
        """One value per row, in the dtype of the steps."""
        return values.to(self._dtype).view(-1, 1, 1, 1)


class LcmSteps(Steps):
    """Latent consistency models: the clean latent by the boundary condition, noised again.

    Attributes:
        c_skip, c_out: the boundary condition's weights of the input and of the prediction, [T, 1, 1, 1];
            sigma_data is 0.5, and timesteps are scaled by 10.
    """

    def __init__(self, t_index_list: Sequence[int], dtype: torch.dtype) -> None:
        super().__init__(t_index_list, dtype)
        scaled = self.timesteps.double() * _TIMESTEP_SCALING
        power = scaled.square() + _SIGMA_DATA**2
        self.c_skip = self.column(_SIGMA_DATA**2 / power)
        self.c_out = self.column(scaled / power.sqrt())

    def onward(self, x: Tensor, eps: Tensor, noise: Tensor) -> Tensor:
        return self.alpha[1:] * self._consistent(x, eps, slice(-1)) + self.beta[1:] * noise

    def result(self, x: Tensor, eps: Tensor) -> Tensor:
        return self.clean(x, eps)

    def clean(self, x: Tensor, eps: Tensor) -> Tensor:
        return self._consistent(x, eps, slice(-1, None))

    def _consistent(self, x: Tensor, eps: Tensor, rows: slice) -> Tensor:
        return self.c_out[rows] * self.estimate(x, eps, rows) + self.c_skip[rows] * x


class TcdSteps(Steps):
    """Trajectory consistency distillation (Zheng et al., 2024, algorithm 4): down to s, up to the next t.

    s is floor((1 - gamma) u) for the next timestep u, which after the last one is 0; there the trajectory
    ends, and nothing is added.
    """

    def __init__(self, t_index_list: Sequence[int], dtype: torch.dtype, gamma: float) -> None:
        super().__init__(t_index_list, dtype)
        following = torch.cat((self.timesteps[1:], torch.zeros(1, dtype=torch.int64)))
        down = torch.floor((1 - gamma) * following).long()
        self._down = self.levels(down)
        ratio = self._products[following] / self._products[down]
        self._kept, self._fresh = self.column(ratio.sqrt()), self.column((1 - ratio).clamp(min=0).sqrt())

    def onward(self, x: Tensor, eps: Tensor, noise: Tensor) -> Tensor:
        return self._kept[:-1] * self._at_s(x, eps, slice(-1)) + self._fresh[:-1] * noise

    def result(self, x: Tensor, eps: Tensor) -> Tensor:
        return self._at_s(x, eps, slice(-1, None))

    def _at_s(self, x: Tensor, eps: Tensor, rows: slice) -> Tensor:
        return self._down[0][rows] * self.estimate(x, eps, rows) + self._down[1][rows] * eps


class DdimSteps(Steps):
    """DDIM without noise (Song et al., 2021, equation 12); the last step ends at timestep 0, as Stable
    Diffusion's configuration has it."""

    def onward(self, x: Tensor, eps: Tensor, noise: Tensor) -> Tensor:
        return self.alpha[1:] * self.estimate(x, eps, slice(-1)) + self.beta[1:] * eps

    def result(self, x: Tensor, eps: Tensor) -> Tensor:
        alpha, beta = self.levels(torch.zeros(1, dtype=torch.int64))
        return alpha * self.clean(x, eps) + beta * eps


class EulerSteps(Steps):
    """SD-Turbo: Euler's method on x / alpha over sigma = beta / alpha to sigma 0, in one step or more."""

    def onward(self, x: Tensor, eps: Tensor, noise: Tensor) -> Tensor:
        sigma = self.beta / self.alpha
        return self.alpha[1:] * (x / self.alpha[:-1] + (sigma[1:] - sigma[:-1]) * eps)

    def result(self, x: Tensor, eps: Tensor) -> Tensor:
        return x / self.alpha[-1:] - self.beta[-1:] / self.alpha[-1:] * eps


def literal_steps(
    t_index_list: Sequence[int],
    dtype: torch.dtype = torch.float32,
    sampler: Sampler = "lcm",
    gamma: float = 0.3,
) -> Steps:
    """The steps of a list of indices.

    Args:
        gamma: of TCD: which share of the way up is fresh noise.
    """
    if sampler == "tcd":
        return TcdSteps(t_index_list, dtype, gamma)
    kinds: dict[Sampler, type[LcmSteps | DdimSteps | EulerSteps]] = {
        "lcm": LcmSteps,
        "ddim": DdimSteps,
        "turbo": EulerSteps,
    }
    return kinds[sampler](t_index_list, dtype)
