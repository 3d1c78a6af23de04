"""The stage ``graphs``: every graph of one variant, their weights in one file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from v2v_runtime.manifest.encode import to_json
from v2v_runtime.manifest.model import CallOverride, Graph, TensorSpec, Variant
from v2v_runtime.manifest.reader import read_as
from v2v_runtime.manifest.strict_json import load_json

from v2v_export.build.context import Context
from v2v_export.errors import BuildError
from v2v_export.system import GraphOptions

_INDEX = "index.json"


@dataclass(frozen=True)
class VariantGraphs:
    """One variant's files.

    Attributes:
        folder: holds them.
        graphs: graph -> its ports, in the system's order.
        files: graph -> ONNX file name.
        taps: graph -> its hidden taps.
        calls: ``phase/call`` -> what this variant changes of it.
        weights: name of the file that holds the weights of all graphs; None if all are small.
    """

    folder: Path
    graphs: dict[str, Graph]
    files: dict[str, str]
    taps: dict[str, dict[str, TensorSpec]]
    calls: dict[str, CallOverride]
    weights: str | None

    def declared(self, float_type: Literal["float16", "float32"]) -> Variant:
        """The variant as the manifest declares it."""
        paths = {graph: f"graphs/{file}" for graph, file in self.files.items()}
        return Variant(float_type, paths, self.calls)


def variant_graphs(context: Context, variant: str, options: GraphOptions) -> VariantGraphs:
    """The variant's graphs: from the store, or traced one after the other.

    Each traced graph is an entry of its own until the variant is whole, so a build that was killed goes on
    with the graph that it was at.
    """
    key = variant_key(context, variant, options)
    parts: list[dict[str, Any]] = []

    def produce(folder: Path) -> None:
        _produce(context, variant, options, key, folder, parts)

    folder = context.cached(f"graphs {variant}", "variant", key, produce)
    for part in parts:  # the whole is published: its parts would only take room
        context.store.discard("graph", part)
    return read_variant(folder)


def variant_key(context: Context, variant: str, options: GraphOptions) -> dict[str, Any]:
    """Everything that the variant's graphs depend on."""
    return {**context.core, "float": options.float, "lowering": dict(options.lowering), "variant": variant}


def read_variant(folder: Path) -> VariantGraphs:
    """What ``variant_graphs`` stored."""
    index = load_json((folder / _INDEX).read_bytes())
    return VariantGraphs(
        folder=folder,
        graphs={name: read_as(Graph, entry["ports"]) for name, entry in index["graphs"].items()},
        files={name: entry["file"] for name, entry in index["graphs"].items()},
        taps={
            name: {tap: read_as(TensorSpec, spec) for tap, spec in entry["taps"].items()}
            for name, entry in index["graphs"].items()
        },
        calls={call: read_as(CallOverride, change) for call, change in index["calls"].items()},
        weights=index["weights"],
    )


def _produce(
    context: Context,
    variant: str,
    options: GraphOptions,
    key: dict[str, Any],
    folder: Path,
    parts: list[dict[str, Any]],
) -> None:
    from v2v_export.export.pipeline import export_graph
    from v2v_export.export.weights import pack

    model = context.model()
    specs = list(model.graphs(options))
    calls = {call: to_json(change) for call, change in model.overrides(options).items()}
    _check_names([spec.name for spec in specs])
    total = len(specs) + 1
    index: dict[str, Any] = {}
    sources: dict[str, Path] = {}
    while specs:
        spec = specs.pop(0)
        context.progress.step(f"tracing {spec.name}", len(index), total)
        parts.append({**key, "graph": spec.name})

        def trace(part: Path, spec: Any = spec) -> None:
            with context.part(spec.name):
                export_graph(spec, options.float, options.lowering, part)

        sources[spec.name] = context.store.stage("graph", parts[-1], trace) / "graph.onnx"
        ports = to_json(Graph(spec.inputs, spec.outputs, spec.resident))
        taps = {tap: to_json(tensor) for tap, tensor in spec.taps.items()}
        index[spec.name] = {"ports": ports, "taps": taps}
        del spec, trace  # what a factory may hold goes with it: the next graph needs the memory
    context.progress.step("storing the weights", total - 1, total)
    for name, file in pack(sources, folder, variant).items():
        index[name]["file"] = file
    weights = f"{variant}.weights"
    document = {
        "graphs": index,
        "calls": calls,
        "weights": weights if (folder / weights).exists() else None,
    }
    # Not sorted: the order of graphs and ports is the system's.
    (folder / _INDEX).write_text(json.dumps(document), encoding="utf-8")


def _check_names(names: list[str]) -> None:
    if not names or len(set(names)) != len(names):
        raise BuildError(
            "V2V-E7022",
            f"the system exports the graphs {names}",
            "at least one, each name once",
            "correct its graphs()",
        )
