"""TensorRT, in three flavours over the one subset of the API that they share (``_tensorrt.flavour``).

TensorRT for RTX builds real engines for GPUs that this machine does not have, and the tests of this builder
run it. TensorRT 10 and 11 go through the same lines where they are installed, and build for the GPU that
they run on; no test has run them.

Networks are strongly typed: precision is in the graph. No plugin library is registered or embedded, no code
of ours goes into an engine: a custom op of ours comes in as its portable body.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from v2v_plugins import trt_loader
from v2v_runtime.errors import BundleError
from v2v_runtime.trust import record_built

from v2v_export.errors import BuildError
from v2v_export.targets._tensorrt.config import bucket_count, configure
from v2v_export.targets._tensorrt.counters import Kernel, engine_counters, parse_inspector, parse_log
from v2v_export.targets._tensorrt.flavour import FLAVOURS, RTX_CAPABILITIES, Flavour
from v2v_export.targets._tensorrt.header import SIZE, lint
from v2v_export.targets._tensorrt.log import Log, logger
from v2v_export.targets._tensorrt.network import create_network, let_attention_decompose, parse
from v2v_export.targets._tensorrt.progress import Watch, monitor
from v2v_export.targets.base import Availability, EngineRequest, EngineResult, Report

SUFFIX = ".engine"
_SEARCH_PATH = "LD_LIBRARY_PATH"


class TensorRTBuilder:
    """See the module's docstring."""

    name = "tensorrt"
    fuses = True

    def available(self) -> Availability:
        for flavour in FLAVOURS.values():
            if found := flavour.version():
                return Availability(True, version=f"{flavour.name} {found}")
        return Availability(False, f"no TensorRT is installed: {FLAVOURS['rtx'].install}")

    def options(self, profile: Mapping[str, Any]) -> Mapping[str, Any]:
        """``flavour``, ``compute_capability`` and, with a cap, ``workspace_mib``.

        Raises:
            BuildError: V2V-E7110: the profile names no flavour of ours, or a GPU that its flavour does not
                build for.
        """
        told = dict(profile.get("options", {}).get(self.name, {}))
        name = told.pop("flavour", "rtx")
        if name not in FLAVOURS or told:
            raise BuildError(
                "V2V-E7110",
                f"profile {profile.get('name')} asks TensorRT for flavour {name!r}"
                + (f" and {', '.join(sorted(told))}" if told else ""),
                f"flavour = one of {', '.join(FLAVOURS)}, and nothing else",
                "correct [options.tensorrt] in the profile",
            )
        capability = profile.get("compute_capability")
        if capability is None or (FLAVOURS[name].elsewhere and capability not in RTX_CAPABILITIES):
            raise BuildError(
                "V2V-E7110",
                f"{FLAVOURS[name].title} does not build for profile {profile.get('name')}: compute "
                f"capability {capability or 'none'}",
                f"compute capability {', '.join(RTX_CAPABILITIES)}",
                "choose backend onnxruntime (its CUDA provider runs on every NVIDIA GPU), or full TensorRT "
                "(flavour 10 or 11) on the machine with the GPU",
            )
        options: dict[str, Any] = {"flavour": name, "compute_capability": capability}
        if profile.get("workspace_mib"):
            options["workspace_mib"] = profile["workspace_mib"]
        return options

    def fingerprint(self, profile: Mapping[str, Any]) -> Mapping[str, Any]:
        flavour = FLAVOURS[self.options(profile)["flavour"]]
        return {"flavour": flavour.name, "version": flavour.version()}

    def environment(self) -> Mapping[str, str]:
        """Where the loader finds the library that TensorRT for RTX's parser opens by an unversioned name.

        Without it a node that might be a plugin ends the process.
        """
        variables = trt_loader.child_environment({_SEARCH_PATH: os.environ.get(_SEARCH_PATH, "")})
        return variables if variables[_SEARCH_PATH] else {}

    def build(self, request: EngineRequest, report: Report) -> EngineResult:
        """Parses, builds, counts, and records the engine as built here (``v2v_runtime.trust``).

        Raises:
            BuildError: V2V-E7201 the flavour is not installed; V2V-E7202 the parser refuses the graph;
                V2V-E7203 the builder does; V2V-E7204 open axes and buckets do not fit; V2V-E7205 the flavour
                refuses the GPU; V2V-E7206 a flavour that builds for its own machine is on another GPU;
                V2V-E7207 the workspace cap is too small; V2V-E7209 the engine is not what was asked for.
        """
        flavour = FLAVOURS[request.options["flavour"]]
        trt = flavour.load()
        if not flavour.elsewhere:
            require_same_gpu(flavour, request)
        log = Log()
        plan, attentions = _plan(trt, flavour, request, report, log)
        capability = str(request.options["compute_capability"]) if flavour.elsewhere else None
        lint(bytes(memoryview(plan)[:SIZE]), plan.nbytes, capability, _numbers(trt.__version__))
        path = Path(request.workdir) / f"{request.graph}{SUFFIX}"
        with path.open("wb") as file:
            file.write(plan)
            file.flush()
            os.fsync(file.fileno())
        # Where the record cannot be kept the engine is as good: its loader will ask to trust the hash.
        with contextlib.suppress(OSError, BundleError):
            record_built(hashlib.sha256(memoryview(plan)).hexdigest())
        kernels = parse_log(log.layers) or _inspect(trt, plan, log)
        counters = engine_counters(
            kernels,
            log.memory,
            engine_bytes=plan.nbytes,
            attentions=attentions,
            buckets=bucket_count(request),
        )
        return EngineResult(engine=path.name, counters=counters)


def _plan(trt: Any, flavour: Flavour, request: EngineRequest, report: Report, log: Log) -> tuple[Any, int]:
    """The serialized engine, and how many attention layers its network had."""
    speaker = logger(trt, log)
    builder = trt.Builder(speaker)
    network = create_network(trt, flavour, builder)
    report("parsing")
    parse(trt, flavour, network, speaker, request.model, request.graph)
    attentions = let_attention_decompose(trt, network)
    config = configure(trt, flavour, builder, network, request)
    watch = Watch(report)
    told = monitor(trt, watch)
    if told is not None:
        config.progress_monitor = told
    plan = builder.build_serialized_network(network, config)
    if watch.failure is not None:
        raise watch.failure
    if plan is None:
        raise _failure(trt, flavour, request, log)
    return plan, attentions


def _failure(trt: Any, flavour: Flavour, request: EngineRequest, log: Log) -> BuildError:
    seen = " ".join(" ".join(log.errors[-2:]).split()) or "it gave no reason"
    if "workspace" in seen.lower() and request.options.get("workspace_mib"):
        return BuildError(
            "V2V-E7207",
            f"graph {request.graph!r} does not fit into a workspace of "
            f"{request.options['workspace_mib']} MiB ({seen})",
            "room for all activations of the graph: its layers are fused into few, and their scratch is that",
            "raise workspace_mib in the profile, or take a smaller frame size",
        )
    return BuildError(
        "V2V-E7203",
        f"{flavour.title} {trt.__version__} cannot build graph {request.graph!r}: {seen}",
        "",
        "choose another lowering or precision, or backend onnxruntime, in the profile",
    )


def _numbers(version: str) -> str:
    """The first four numbers of a version."""
    return ".".join(version.split(".")[:4])


def _inspect(trt: Any, plan: Any, log: Log) -> list[Kernel]:
    """The layers as the engine inspector tells them; empty where no GPU can load the engine."""
    engine = trt.Runtime(logger(trt, Log())).deserialize_cuda_engine(plan)
    if engine is None:
        return []
    if hasattr(engine, "device_memory_size_v2"):
        log.memory.append(f"Total Activation Memory: {engine.device_memory_size_v2} bytes")
    return parse_inspector(
        engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    )


def require_same_gpu(flavour: Flavour, request: EngineRequest) -> None:
    """Full TensorRT builds for the GPU that it finds: that one must be the profile's (else V2V-E7206)."""
    wanted = str(request.options["compute_capability"])
    query = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader", "--id=0"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        found = "none"
    if found != wanted:
        raise BuildError(
            "V2V-E7206",
            f"{flavour.title} builds for the GPU of this machine: compute capability {found}",
            f"{wanted}, as the profile says",
            "build on a machine with that GPU, or take flavour rtx, which builds for GPUs that are elsewhere",
        )


BUILDER = TensorRTBuilder()
