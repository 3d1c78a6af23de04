"""What a fusing compiler does with each ONNX operator, as layers of TensorRT for RTX's engines show it."""

from __future__ import annotations

#: Kernels of their own, from a library: they read stored tensors and write one.
PRODUCTS = frozenset({"Attention", "Conv", "ConvTranspose", "DeformConv", "Gemm", "MatMul"})

#: Products whose kernel is chosen on the GPU and may ask for a workspace.
CHOSEN = PRODUCTS - {"Attention"}

#: Products that keep pictures channel last, and ports as they are.
CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})

#: One output element from one element of each input: computed by whoever reads it, or by the product before.
ELEMENTWISE = frozenset(
    {
        "Abs", "Add", "And", "BatchNormalization", "Cast", "CastLike", "Ceil", "Clip", "Cos", "Div", "Elu",
        "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish",
        "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "PRelu",
        "Pow", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Softplus", "Sqrt", "Sub", "Tanh",
        "Where",
    }
)  # fmt: skip

#: Element-wise work, and data movement, which a generated kernel does while it reads.
LIGHT = ELEMENTWISE | {
    "Concat", "DepthToSpace", "Expand", "Gather", "GatherND", "GridSample", "Pad", "Range", "Slice",
    "SpaceToDepth", "Split", "Tile", "Transpose",
}  # fmt: skip

#: Normalisations: one generated kernel with the element-wise work before and after them.
NORMS = frozenset(
    {
        "GroupNormalization", "InstanceNormalization", "LayerNormalization", "LogSoftmax", "RMSNormalization",
        "Softmax",
    }
)  # fmt: skip

#: Reductions: one generated kernel with the element-wise work before them. Their results are stored.
REDUCTIONS = frozenset(
    {"ArgMax", "ArgMin", "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"}
)
