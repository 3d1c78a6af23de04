"""Inputs of AdaBD that bodies get wrong, each with what it should give, computed by somebody else's code."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import onnx
import v2v_plugins
from numpy.typing import NDArray
from onnx import helper, parser
from onnx.reference import ReferenceEvaluator
from scipy import ndimage

Array = NDArray[np.float64]
NAMES = ("T", "F_star", "offset", "mask")
TOLERANCE = 2e-5
"""Of the largest expected value: rounding of float32 sums over 9 h products."""


@dataclass(frozen=True)
class Case:
    """One set of inputs: the four tensors, and the kernel."""

    tensors: tuple[Array, ...]
    weight: Array

    def feeds(self, dtype: type) -> dict[str, NDArray[np.generic]]:
        return {name: tensor.astype(dtype) for name, tensor in zip(NAMES, self.tensors, strict=True)}

    def rounded(self, dtype: type) -> Case:
        """The values that are left of the inputs in ``dtype``."""
        tensors = tuple(tensor.astype(dtype).astype(np.float64) for tensor in self.tensors)
        return Case(tensors, self.weight.astype(dtype).astype(np.float64))


def make(name: str) -> Case:
    """A case by its name in ``SIZES``."""
    n, h, o, height, width = SIZES[name]
    random = np.random.default_rng([7, *name.encode()])
    offset = random.normal(0, 100 if name == "far" else 4, (n, 18, height, width))
    if name == "borders":
        offset = _to_borders(random, n, height, width)
    mask = random.random((n, 9, height, width))
    if name.startswith("mask_"):
        mask = np.full_like(mask, float(name.removeprefix("mask_")))
    features = random.normal(0, 1, (2, n, h, height, width))
    return Case((features[0], features[1], offset, mask), random.normal(0, (9 * h) ** -0.5, (o, h, 3, 3)))


def _to_borders(random: np.random.Generator, n: int, height: int, width: int) -> Array:
    """Offsets that end at the edges exactly, between the edge and the nothing beyond, and on pixels."""
    y = np.arange(height)[:, None] + np.repeat(np.arange(3), 3)[:, None, None] - 1
    x = np.arange(width)[None, :] + np.tile(np.arange(3), 3)[:, None, None] - 1
    ends = []
    for size, base in ((height, y), (width, x)):
        places = [-2, -1, -0.5, 0, 0.5, size - 2, size - 1, size - 0.5, size, size + 1]
        ends.append(random.choice(places, (n, 9, height, width)) - base)
    return np.stack(ends, axis=2).reshape(n, 18, height, width)


SIZES = {
    "random": (1, 8, 8, 12, 16),
    "far": (1, 4, 4, 12, 16),
    "borders": (1, 4, 4, 12, 16),
    "mask_0": (1, 4, 4, 8, 8),
    "mask_1": (1, 4, 4, 8, 8),
    "tall": (1, 16, 6, 21, 5),
    "aligned": (1, 16, 8, 16, 24),
    "batch": (2, 8, 4, 9, 11),
    "smallest": (2, 4, 4, 2, 2),
    "onnx": (1, 2, 2, 4, 5),
}
"""name -> N, h, o, H, W."""


@cache
def expected(name: str, dtype: type = np.float32) -> Array:
    """``Y`` of a case whose inputs are rounded to ``dtype``."""
    return evaluate(make(name).rounded(dtype))


def evaluate(case: Case) -> Array:
    """Equation 6 with SciPy's bilinear interpolation, in float64."""
    (T, F_star, offset, mask), weight = case.tensors, case.weight
    n, h, height, width = T.shape
    row, col = np.mgrid[:height, :width]
    result = np.zeros((n, weight.shape[0], height, width))
    for image, tap in np.ndindex(n, 9):
        u, v = divmod(tap, 3)
        still = [row + u - 1, col + v - 1]
        moved = [still[0] + offset[image, 2 * tap], still[1] + offset[image, 2 * tap + 1]]
        m = mask[image, tap]
        mixed = [m * _read(T[image, c], still) + (1 - m) * _read(F_star[image, c], moved) for c in range(h)]
        result[image] += np.einsum("oc,chw->ohw", weight[:, :, u, v], np.stack(mixed))
    return result


def _read(plane: Array, places: list[Array]) -> Array:
    """Bilinear, with zeros for pixels outside, which is SciPy's grid-constant (its constant is another)."""
    read: Array = ndimage.map_coordinates(plane, places, order=1, mode="grid-constant", cval=0.0)
    return read


def evaluate_with_onnx(case: Case) -> Array:
    """Equation 6 with the DeformConv of ``onnx.reference``, in float64. Slow: for the smallest cases."""
    model = parser.parse_model(
        """<ir_version: 10, opset_import: ["": 19]>
        equation_6 (double[n, h, H, W] T, double[n, h, H, W] F_star, double[n, p, H, W] offset,
                    double[n, k, H, W] mask, double[o, h, u, v] weight) => (double[n, o, H, W] Y) {
          one = Constant <value = double {1}> ()
          still = Sub (offset, offset)
          rest = Sub (one, mask)
          current = DeformConv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (T, weight, still, , mask)
          moved = DeformConv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (F_star, weight, offset, , rest)
          Y = Add (current, moved)
        }"""
    )
    feeds = dict(zip(NAMES, case.tensors, strict=True)) | {"weight": case.weight}
    result: Array = ReferenceEvaluator(model).run(None, feeds)[0]
    return result


def bare_model(case: Case, dtype: type = np.float32, opset: int = 19) -> onnx.ModelProto:
    """One node ``v2v::AdaBD`` with its kernel as a weight, and no body."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    node = helper.make_node("AdaBD", [*NAMES, "weight"], ["Y"], name="blend", domain=v2v_plugins.DOMAIN)
    inputs = [
        helper.make_tensor_value_info(name, kind, tensor.shape)
        for name, tensor in zip(NAMES, case.tensors, strict=True)
    ]
    n, _, height, width = case.tensors[0].shape
    output = helper.make_tensor_value_info("Y", kind, (n, case.weight.shape[0], height, width))
    weight = onnx.numpy_helper.from_array(case.weight.astype(dtype), "weight")
    graph = helper.make_graph([node], "blend", inputs, [output], [weight])
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(v2v_plugins.DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)
