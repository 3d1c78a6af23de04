"""What rounding alone does to a module: whether it, and not the export, explains a miss.

Monte Carlo arithmetic (D. S. Parker, "Monte Carlo Arithmetic", UCLA CSD-970002, 1997): a computation is run
once more with every result moved at random by about one unit of its last place. What comes out otherwise is
what the numbers' type cannot decide, and no other order of the same operations is bound to come closer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from v2v_runtime.dtypes import numpy_dtype

from v2v_export.system import GraphOptions, GraphSpec
from v2v_export.verify.arrays import ArrayReader
from v2v_export.verify.compare import Difference, Tolerance, difference
from v2v_export.verify.modules import asked, handed

# fmt: off
_EXACT = frozenset({
    "_to_copy", "abs", "arange", "cat", "clamp", "clone", "constant_pad_nd", "copy", "embedding", "empty",
    "eye", "fill", "flip", "full", "full_like", "gather", "index", "index_put", "index_select",
    "masked_fill", "max_pool2d_with_indices", "maximum", "minimum", "neg", "new_empty", "new_full",
    "new_ones", "new_zeros", "ones", "ones_like", "relu", "repeat", "roll", "scalar_tensor", "scatter",
    "select_scatter", "sign", "slice_scatter", "stack", "upsample_nearest2d", "where", "zero", "zeros",
    "zeros_like",
})
# fmt: on
"""Operators that move, choose or make numbers and round none."""


class MonteCarloArithmetic(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's __init_subclass__
    """While it is entered, every floating-point result is multiplied by 1 + d and rounded again, d uniform
    within its type's spacing at 1: 2^-23 in float32, 2^-10 in float16. With half of that, most results would
    be rounded back to what they were. The same numbers every time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._draw = torch.Generator().manual_seed(0)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        name = func._schema.name.split("::")[1]
        # What is a view of an operand, or an operand itself, is no new result.
        if name in _EXACT or any(item.alias_info is not None for item in func._schema.returns):
            return made
        return tree_map(self._moved, made)

    def _moved(self, item: Any) -> Any:
        if not isinstance(item, Tensor) or not item.is_floating_point():
            return item
        spacing = torch.finfo(item.dtype).eps
        factor = torch.empty(item.shape).uniform_(-spacing, spacing, generator=self._draw)
        return item.mul_(factor.add_(1))


def own_rounding(
    recorded: Path,
    spec: GraphSpec,
    options: GraphOptions,
    inputs: str,
    item: Difference,
    tolerance: Tolerance,
) -> Difference | None:
    """How far rounding takes a variant's own torch module from the float32 one, in a tensor that its graph
    missed.

    Args:
        recorded: what ``modules.record_modules`` wrote.
        spec: the graph as the variant has it.
        options: the variant.
        inputs: the case's name.
        item: the miss.

    Returns:
        None where torch lacks an operator in the variant's type on the CPU.
    """
    reader = ArrayReader(recorded)
    case = next(one for one in reader.index[spec.name] if one["inputs"] == inputs)
    module = spec.make()
    given = [
        handed(case["given"][name], numpy_dtype(port.dtype, options.float), reader.read)
        for name, port in spec.inputs.items()
    ]
    try:
        with MonteCarloArithmetic():
            made = asked(spec, module, given)
    except RuntimeError as error:
        if "not implemented for" in str(error):
            return None
        raise
    expected = reader.read(case["expected"][item.tensor])
    return difference(item.tensor, made[item.tensor], expected, item.kind, tolerance)
