"""Bundles of streams around narrow networks, for ONNX Runtime on the CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Generic, Literal, TypeVar

from support.bundles import make_manifest, make_target
from v2v_export.export.pipeline import export_graph
from v2v_export.system import GraphOptions, GraphSpec, Model
from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import Source, write_bundle, write_target
from v2v_runtime.manifest.model import Graph

Options = TypeVar("Options", bound=Hashable)


class MicroBundles(Generic[Options]):
    """Bundles without self-tests: what compares them is the tests themselves.

    Graphs that two streams share are exported once.

    Args:
        root: where they are written.
        make: the model of some options.
        varies: graph -> what of the options changes it though its ports stay as they are.
        lowering: see ``GraphOptions``.
        kind: type of weights and activations. The CPU provider computes half precision as it is meant, each
            operator's result rounded.
    """

    def __init__(
        self,
        root: Path,
        make: Callable[[Options], Model],
        varies: Mapping[str, Callable[[Options], Hashable]] | None = None,
        lowering: Mapping[str, str] | None = None,
        kind: Literal["float16", "float32"] = "float32",
    ) -> None:
        self._root, self._make, self._kind = root, make, kind
        self._varies, self._lowering = dict(varies or {}), dict(lowering or {})
        self._graphs: dict[Hashable, dict[str, bytes]] = {}
        self._bundles: dict[Options, Bundle] = {}

    def of(self, options: Options) -> Bundle:
        """The bundle of these options."""
        if options not in self._bundles:
            self._bundles[options] = self._written(options, self._root / f"{len(self._bundles)}.v2v")
        return self._bundles[options]

    def _written(self, options: Options, root: Path) -> Bundle:
        model = self._make(options)
        specs = model.graphs(GraphOptions(self._kind, self._lowering))
        sources: dict[str, Source] = {}
        for spec in specs:
            for name, data in self._exported(spec, options).items():
                sources[f"graphs/{name}"] = data
        graphs = {spec.name: Graph(spec.inputs, spec.outputs, spec.resident) for spec in specs}
        manifest = make_manifest(model.program(), graphs, float_type=self._kind)
        write_bundle(root, manifest, graphs=sources, blobs=model.blobs())
        write_target(root, make_target())
        return Bundle.open(root)

    def _exported(self, spec: GraphSpec, options: Options) -> dict[str, bytes]:
        """File name -> bytes."""
        varying = self._varies.get(spec.name, lambda options: None)(options)
        key = repr((spec.name, spec.inputs, spec.outputs, varying))
        if key not in self._graphs:
            with tempfile.TemporaryDirectory() as folder:
                export_graph(spec, self._kind, self._lowering, Path(folder), spec.name)
                self._graphs[key] = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
        return self._graphs[key]
