"""Random weights of the real architectures that behave like trained ones: no saturation, no empty paths.

For measuring and testing without a checkpoint. Numbers come from numpy's PCG64, one stream per tensor, keyed
by the seed and the tensor's name: a seed gives the same weights on every machine, in any order of drawing.
They are rounded to float16 and held so, as published checkpoints are: the largest network is then 5 GB, and
a float32 module of them is an upcast of the same numbers.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from v2v_export.diffusion.configs import Architecture, build

BRANCH_GAIN = 0.5
"""Of the last layer of a residual branch: a deep stack of branches then keeps the scale of its input."""

BIAS_STD = 0.02
NORM_STD = 0.1
"""Of a norm's scale, around 1."""

EMBEDDING_STD = 0.5

_BRANCH_ENDS = ("conv2", "to_out.0", "ff.net.2", "proj_out", "out_proj", "fc2", "conv.4")
"""Ends of the names of layers that close a residual branch (of UNet, KL VAE, CLIP and TAESD)."""

_RELU_GAIN = math.sqrt(2.0)
"""A ReLU halves the second moment: networks of nothing else need this to keep it."""

_LAST_GAIN = 1 / 16

_CHUNK = 1 << 18
"""Numbers drawn at a time: few enough that their memory is used again and again."""

_WORKERS = 2


def random_state(of: Architecture, seed: int, keep: Callable[[str], bool] | None = None) -> dict[str, Tensor]:
    """Name -> float16 tensor, for every parameter of the architecture (see ``random_tensors``).

    Args:
        keep: which parameters to draw, by name; the others do not change what these are.
    """
    parameters = {name: item for name, item in build(of).named_parameters() if keep is None or keep(name)}
    if of.kind != "tiny_vae":
        return random_tensors(parameters, seed)
    state = random_tensors(parameters, seed, gain=_RELU_GAIN)
    # Its decoder ends in [0, 1] without a norm before it: a picture of middle grey with some contrast.
    last = max((int(name.split(".")[2]) for name in state if name.startswith("decoder.layers.")), default=-1)
    if f"decoder.layers.{last}.bias" in state:
        state[f"decoder.layers.{last}.weight"] *= _LAST_GAIN
        state[f"decoder.layers.{last}.bias"] += 0.5
    return state


def random_tensors(parameters: Mapping[str, Tensor], seed: int, *, gain: float = 1.0) -> dict[str, Tensor]:
    """Name -> float16 tensor of the shape of each of ``parameters``, which may be on the meta device.

    Matrices and kernels have deviation gain / sqrt(fan_in) around 0, times ``BRANCH_GAIN`` where their name
    says that they close a residual branch; norms ``NORM_STD`` around 1, biases ``BIAS_STD`` and embeddings
    ``EMBEDDING_STD`` around 0.
    """
    shapes = {name: (tuple(item.shape), _scale(name, item, gain)) for name, item in parameters.items()}
    # numpy lets go of the interpreter's lock while it draws.
    with ThreadPoolExecutor(_WORKERS) as pool:
        drawn = pool.map(lambda item: _draw(seed, item[0], *item[1]), shapes.items())
        return dict(zip(shapes, drawn, strict=True))


def _scale(name: str, like: Tensor, gain: float) -> tuple[float, float]:
    """Mean and standard deviation of a tensor of that name and shape."""
    layer, _, leaf = name.rpartition(".")
    if leaf == "bias":
        return 0.0, BIAS_STD
    if like.ndim == 1:
        return 1.0, NORM_STD
    if "embedding" in layer.rpartition(".")[2]:
        return 0.0, EMBEDDING_STD
    if layer.endswith(_BRANCH_ENDS):
        gain *= BRANCH_GAIN
    return 0.0, gain / math.sqrt(like[0].numel())


def _draw(seed: int, name: str, shape: tuple[int, ...], scale: tuple[float, float]) -> Tensor:
    """Uniform over 65536 levels, of the given mean and standard deviation: an eighth of a normal's cost,
    which is a minute of a build for the largest network; in sums over many inputs there is no difference.
    """
    mean, std = scale
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    tensor = torch.empty(shape, dtype=torch.float16)
    for part in torch.split(tensor.view(-1), _CHUNK):
        values = generator.integers(0, 1 << 16, len(part), dtype=np.uint16).astype(np.float32)
        values -= np.float32(32767.5)
        values *= np.float32(std * math.sqrt(12.0) / 65536)
        values += np.float32(mean)
        part.copy_(torch.from_numpy(values))
    return tensor
