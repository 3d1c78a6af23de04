"""``torch.ops.v2v.ada_bd``, and the bare ONNX node that it is exported as."""

from __future__ import annotations

from typing import Any

import torch
from onnxscript import values
from torch import Tensor

from v2v_plugins.ada_bd.reference import TAPS, one_product
from v2v_plugins.ada_bd.schema import SCHEMA
from v2v_plugins.registry import DOMAIN, VERSION


@torch.library.custom_op("v2v::ada_bd", mutates_args=())
def ada_bd(T: Tensor, F_star: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Adaptive blending and deformation; see ``reference.literal`` for arguments and result.

    Differentiable. One node ``v2v::AdaBD`` in a graph exported with ``v2v_plugins.translation_table()``.

    Raises:
        ValueError: shapes that do not fit each other, or a picture smaller than 2x2.
    """
    _check(T, F_star, offset, mask, weight)
    return one_product(T, F_star, offset, mask, weight)


@ada_bd.register_fake
def _(T: Tensor, F_star: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    _check(T, F_star, offset, mask, weight)
    return T.new_empty(T.shape[0], weight.shape[0], T.shape[2], T.shape[3])


def _check(T: Tensor, F_star: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> None:
    if T.dim() != 4 or T.shape[2] < 2 or T.shape[3] < 2:
        raise ValueError(f"ada_bd: T {tuple(T.shape)}; expected [N, h, H, W] with H and W at least 2")
    n, h, height, width = T.shape
    for name, tensor, wanted in (
        ("F_star", F_star, (n, h, height, width)),
        ("offset", offset, (n, 2 * TAPS, height, width)),
        ("mask", mask, (n, TAPS, height, width)),
        ("weight", weight, (weight.shape[0], h, 3, 3)),
    ):
        if tuple(tensor.shape) != wanted:
            raise ValueError(
                f"ada_bd: {name} {tuple(tensor.shape)}; expected {wanted} beside {tuple(T.shape)}"
            )
    for name, tensor in (("F_star", F_star), ("mask", mask), ("weight", weight)):
        if tensor.dtype != T.dtype:
            raise ValueError(f"ada_bd: {name} is {tensor.dtype}; expected {T.dtype}, which T is")


def _setup(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """Computes the forward again: columns are nine times the features, too much to keep."""
    wanted = [index for index, needed in enumerate(ctx.needs_input_grad) if needed]
    inputs = [item.detach().requires_grad_(index in wanted) for index, item in enumerate(ctx.saved_tensors)]
    with torch.enable_grad():
        result = one_product(*inputs)
    found = torch.autograd.grad(result, [inputs[index] for index in wanted], gradient)
    by_index = dict(zip(wanted, found, strict=True))
    return tuple(by_index.get(index) for index in range(len(inputs)))


ada_bd.register_autograd(_backward, setup_context=_setup)

OVERLOAD: torch._ops.OpOverload = torch.ops.v2v.ada_bd.default

_NODE = values.Op(values.Opset(DOMAIN, VERSION), "AdaBD", SCHEMA)


def translate(T: Any, F_star: Any, offset: Any, mask: Any, weight: Any) -> Any:
    """One bare node; its body comes with ``v2v_plugins.attach_bodies``."""
    return _NODE(T, F_star, offset, mask, weight)
