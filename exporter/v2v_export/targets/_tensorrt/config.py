"""The builder's configuration, out of the request and the profile, with what this flavour has."""

from __future__ import annotations

from typing import Any

from v2v_export.errors import BuildError
from v2v_export.targets._tensorrt.flavour import Flavour
from v2v_export.targets.base import EngineRequest


def configure(trt: Any, flavour: Flavour, builder: Any, network: Any, request: EngineRequest) -> Any:
    """A configuration for one build.

    Raises:
        BuildError: an axis is open that no bucket closes (V2V-E7204), or the flavour refuses the compute
            capability (V2V-E7205).
    """
    config = builder.create_builder_config()
    if flavour.elsewhere:
        _target(trt, flavour, config, request)
    if workspace := request.options.get("workspace_mib"):
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(workspace) << 20)
    # Without the details the log does not name the layers, and there would be no counters.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if hasattr(trt.BuilderFlag, "TF32"):
        # float32 is there where float16 does not do: positions, statistics. TF32 would keep 10 bits of it.
        config.clear_flag(trt.BuilderFlag.TF32)
    _add_buckets(builder, network, config, request)
    return config


def _target(trt: Any, flavour: Flavour, config: Any, request: EngineRequest) -> None:
    capability = str(request.options["compute_capability"])
    name = "SM" + capability.replace(".", "")
    member = getattr(trt.ComputeCapability, name, None)
    config.num_compute_capabilities = 1
    if member is None or not config.set_compute_capability(member, 0):
        known = [item for item in dir(trt.ComputeCapability) if item.startswith("SM")]
        raise BuildError(
            "V2V-E7205",
            f"{flavour.title} {trt.__version__} does not build for compute capability {capability}",
            f"one of {', '.join(sorted(known))}",
            "choose backend onnxruntime in the profile, or another version of TensorRT",
        )


def _add_buckets(builder: Any, network: Any, config: Any, request: EngineRequest) -> None:
    """One shape profile per bucket: the engine holds its weights once and the kernels of each row count."""
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    shapes = {tensor.name: tuple(tensor.shape) for tensor in tensors}
    open_ports = {name: shape for name, shape in shapes.items() if min(shape, default=0) < 0}
    deep = [name for name, shape in open_ports.items() if min(shape[1:], default=0) < 0]
    # Rows of outputs follow from those of the inputs.
    outputs = {network.get_output(index).name for index in range(network.num_outputs)}
    bucketed = set(request.buckets) - outputs
    lengths = {len(request.buckets[name]) for name in bucketed}
    if deep or bucketed != set(open_ports) or len(lengths) > 1:
        raise BuildError(
            "V2V-E7204",
            f"graph {request.graph!r} has open axes at {', '.join(sorted(open_ports)) or 'no input'} and row "
            f"buckets for {', '.join(sorted(request.buckets)) or 'none'}",
            "buckets for exactly the inputs whose axis 0 is open, as many for each, and no other open axis",
            "correct the dynamic_rows of the system's graph",
        )
    for bucket in range(lengths.pop() if lengths else 0):
        profile = builder.create_optimization_profile()
        for name, shape in open_ports.items():
            fixed = (request.buckets[name][bucket], *shape[1:])
            profile.set_shape(name, fixed, fixed, fixed)
        config.add_optimization_profile(profile)


def bucket_count(request: EngineRequest) -> int:
    """Shape profiles of the engine, at least 1."""
    return max((len(rows) for rows in request.buckets.values()), default=1)
