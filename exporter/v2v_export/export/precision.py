"""Half precision with single-precision islands.

fp16 holds weights and activations. What sums many terms or addresses pixels stays in fp32: statistics of
norms, softmax, sampling grids, scheduler arithmetic. Networks are strongly typed on every backend, so the
islands are casts in the graph.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

_M = TypeVar("_M", bound=nn.Module)


class Float32Island(nn.Module):
    """Runs ``inner`` in float32 between casts: half-precision inputs are widened, outputs narrowed again.

    In a float32 model it adds nothing. Integer and boolean tensors pass as they are.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *inputs: Tensor) -> Tensor:
        narrow = any(item.dtype == torch.float16 for item in inputs)
        wide = [item.float() if item.dtype == torch.float16 else item for item in inputs]
        result: Tensor = self.inner(*wide)
        return result.half() if narrow and result.dtype == torch.float32 else result


def to_precision(module: _M, dtype: torch.dtype) -> _M:
    """Casts the floating weights and buffers of ``module`` to ``dtype`` in place, islands excepted.

    Raises:
        ValueError: ``dtype`` is neither float16 nor float32, or a weight leaves float16's range.
    """
    if dtype not in (torch.float16, torch.float32):
        raise ValueError(f"to_precision: {dtype}; expected torch.float16 or torch.float32")
    for child in module.children():
        if not isinstance(child, Float32Island):
            to_precision(child, dtype)
    own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    for name, tensor in own:
        if not tensor.is_floating_point() or tensor.dtype == dtype:
            continue
        largest = float(tensor.detach().abs().max()) if tensor.numel() else 0.0
        if not largest <= torch.finfo(dtype).max:
            owner = type(module).__name__
            raise ValueError(f"to_precision: {owner}.{name} reaches {largest:g}, beyond {dtype}'s range")
        tensor.data = tensor.data.to(dtype)
    return module
