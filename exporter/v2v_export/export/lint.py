"""Operators that the exporter translates into something else, found before it does."""

from __future__ import annotations

import torch

from v2v_export.errors import BuildError

BANNED = {
    "scatter_reduce": "the exporter drops its reduction and writes the last value instead",
    "index_reduce": "it has no faithful translation",
    "segment_reduce": "it has no faithful translation",
}
"""ATen operator -> why it is refused."""


def lint(program: torch.export.ExportedProgram, graph: str) -> None:
    """Refuses a program that uses a banned operator.

    Raises:
        BuildError: V2V-E7018, with the module that uses it.
    """
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        name = str(getattr(node.target, "__name__", node.target)).split(".")[0]
        name = name.removesuffix("_")
        if name in BANNED:
            stack = node.meta.get("nn_module_stack", {})
            where = list(stack.values())[-1][0] if stack else ""
            raise BuildError(
                "V2V-E7018",
                f"graph {graph!r} uses {name} in module {where or 'forward'!r}: {BANNED[name]}",
                "operators that ONNX means in the same way",
                "write it as a sum of products, or as Gather with indices computed in the graph",
            )
