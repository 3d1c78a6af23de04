"""Graphs as Python functions over numpy: for tests of the machine, and for trying a program out.

It is not in ``BACKENDS``: a bundle cannot name it. Give an instance to ``Stream(..., backend=...)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from v2v_runtime.backends.base import Array, Engine, EngineSpec, Memory, Run, Tensor
from v2v_runtime.backends.host import HostMemory, HostTensor
from v2v_runtime.errors import BackendError

#: Input port -> array, gives output port -> array. The arrays given are the stream's own: do not write them.
Function = Callable[[Mapping[str, Array]], Mapping[str, Array]]


class CallableBackend:
    """Runs graph ``name`` by calling ``functions[name]``.

    Attributes:
        loads, closes: graph names in the order in which they were loaded and closed.
    """

    name = "callables"

    def __init__(self, functions: Mapping[str, Function], alignment: int = 1) -> None:
        """``alignment``: pretend that graphs need their tensors so; see ``Memory``."""
        self.memory: Memory = HostMemory(alignment)
        self.loads: list[str] = []
        self.closes: list[str] = []
        self._functions = functions

    def load(self, spec: EngineSpec) -> Engine:
        function = self._functions.get(spec.graph)
        if function is None:
            raise BackendError(
                "V2V-E4005", f"there is no function for graph {spec.graph!r}", f"{sorted(self._functions)}"
            )
        self.loads.append(spec.graph)
        return _CallableEngine(spec.graph, function, self.closes)

    def close(self) -> None:
        """Nothing to free."""


class _CallableEngine:
    def __init__(self, graph: str, function: Function, closes: list[str]) -> None:
        self._graph = graph
        self._function = function
        self._closes = closes

    def bind(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> Run:
        function, graph = self._function, self._graph
        given = {port: _array(tensor) for port, tensor in inputs.items()}
        wanted = {port: _array(tensor) for port, tensor in outputs.items()}

        def run() -> None:
            made = function(given)
            for port, target in wanted.items():
                value = made[port]
                if value.dtype != target.dtype or value.shape != target.shape:
                    raise BackendError(
                        "V2V-E4007",
                        f"graph {graph!r} gave {value.dtype} {list(value.shape)} at output {port!r}",
                        f"{target.dtype} {list(target.shape)}",
                    )
                target[...] = value

        return run

    def close(self) -> None:
        self._closes.append(self._graph)


def _array(tensor: Tensor) -> Array:
    assert isinstance(tensor, HostTensor)
    return tensor.array
