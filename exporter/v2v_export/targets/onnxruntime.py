"""ONNX Runtime: the engine is the ONNX file itself, so "building" it is proving that a session opens.

The CPU provider is tried here. The CUDA provider is not in the CPU wheel, and needs a GPU to say more than
that the graph is well formed; such a target is made on any machine, and its session is opened by the CPU
provider for the counters alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from v2v_runtime.backends.onnxruntime import Options
from v2v_runtime.backends.ort_module import import_onnxruntime
from v2v_runtime.errors import BackendError

from v2v_export.errors import BuildError
from v2v_export.targets.base import Availability, EngineRequest, EngineResult, Report

_WHEELS = ("onnxruntime", "onnxruntime-gpu")
_LEVELS = {
    "all": "ORT_ENABLE_ALL",
    "extended": "ORT_ENABLE_EXTENDED",
    "basic": "ORT_ENABLE_BASIC",
    "none": "ORT_DISABLE_ALL",
}

_WRITTEN_AGAIN = 1 << 28
"""Bytes of weights up to which the optimised graph is written out to be counted: it holds them all."""


class OnnxRuntimeBuilder:
    """See the module's docstring."""

    name = "onnxruntime"
    fuses = False  # the CPU provider runs node by node and keeps an attention's scores

    def available(self) -> Availability:
        for wheel in _WHEELS:
            try:
                return Availability(True, version=version(wheel))
            except PackageNotFoundError:
                continue
        return Availability(False, "onnxruntime is missing: install v2v-runtime[cpu] or v2v-runtime[cuda]")

    def options(self, profile: Mapping[str, Any]) -> Mapping[str, Any]:
        given = {"provider": "cpu", **profile.get("options", {}).get(self.name, {})}
        try:
            # All of them, the defaults too: players of another version or language take what is written.
            return asdict(Options.read(given))
        except BackendError as error:
            raise BuildError(
                "V2V-E7110",
                f"profile {profile.get('name')}: {error.seen}",
                error.expected,
                "correct [options.onnxruntime] in the profile",
            ) from None

    def fingerprint(self, profile: Mapping[str, Any]) -> Mapping[str, Any]:
        return {}

    def environment(self) -> Mapping[str, str]:
        return {}

    def build(self, request: EngineRequest, report: Report) -> EngineResult:
        """Opens a session and counts what is in it.

        Raises:
            BuildError: ONNX Runtime refuses the graph (V2V-E7120).
        """
        onnxruntime = import_onnxruntime()
        report("opening a session")
        model = Path(request.model)
        counters: dict[str, Any] = {"nodes": _nodes(model), "weight_bytes": _weight_bytes(model)}
        optimised = Path(request.workdir) / "optimised.onnx"
        settings = onnxruntime.SessionOptions()
        # An arena would hold every weight's float16 beside its float32.
        settings.enable_cpu_mem_arena = settings.enable_mem_pattern = False
        settings.log_severity_level = 3
        told = Options.read(request.options)
        settings.intra_op_num_threads = told.threads
        settings.graph_optimization_level = getattr(
            onnxruntime.GraphOptimizationLevel, _LEVELS[told.optimization]
        )
        if counters["weight_bytes"] <= _WRITTEN_AGAIN:
            settings.optimized_model_filepath = str(optimised)
        try:
            onnxruntime.InferenceSession(request.model, settings, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BuildError(
                "V2V-E7120",
                f"ONNX Runtime {onnxruntime.__version__} refuses graph {request.graph!r}: {error}",
                "a graph that it can load",
                "choose another lowering in the profile, or another backend",
            ) from error
        if optimised.exists():
            counters["nodes_optimised_cpu"] = _nodes(optimised)
            optimised.unlink()
        return EngineResult(engine=None, counters=counters)


def _nodes(path: Path) -> dict[str, int]:
    """Operator -> how often it stands in the graph."""
    import onnx

    graph = onnx.load_model(path, load_external_data=False).graph
    return dict(sorted(Counter(_op(node) for node in graph.node).items()))


def _op(node: Any) -> str:
    return f"{node.domain}::{node.op_type}" if node.domain not in ("", "ai.onnx") else str(node.op_type)


def _weight_bytes(path: Path) -> int:
    """Bytes of all initializers, inline and external."""
    import onnx

    total = 0
    for tensor in onnx.load_model(path, load_external_data=False).graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            total += next(int(item.value) for item in tensor.external_data if item.key == "length")
        else:
            total += len(onnx.numpy_helper.to_array(tensor).tobytes())
    return total


BUILDER = OnnxRuntimeBuilder()
