"""Live2Diff around a UNet of two levels: six temporal modules, every kind of layer once."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from support.bundles import make_manifest, make_target
from v2v_export.diffusion.configs import ARCHITECTURES, Architecture
from v2v_export.diffusion.networks import Network
from v2v_export.diffusion.random_weights import random_state
from v2v_export.diffusion.sources import ModuleSource
from v2v_export.export.pipeline import export_graph
from v2v_export.system import FrameSize, GraphOptions, GraphSpec
from v2v_export.systems.live2diff.options import Live2DiffOptions
from v2v_export.systems.live2diff.sources import Sources, open_sources
from v2v_export.systems.live2diff.stream import Live2DiffModel
from v2v_export.systems.live2diff.weights import TemporalSource
from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import Source, write_bundle, write_target
from v2v_runtime.manifest.model import Graph

MICRO = Architecture(
    "micro",
    "unet",
    {
        **ARCHITECTURES["tiny_sd15"].config,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
    },
)

SIZE = FrameSize(64, 64)

WEIGHTS = {"base": "random:0", "live2diff": "random:1", "depth": "random:2", "vae": "random:3"}

INDICES = {1: (35,), 2: (30, 40), 3: (30, 36, 42), 4: (25, 31, 37, 43)}
"""Rows -> t_index_list of the published configurations."""


def micro_options(rows: int = 2, **changes: Any) -> Live2DiffOptions:
    """Options of the narrow networks."""
    given: dict[str, Any] = {
        "architecture": "tiny_sd15",
        "vae": "tiny_taesd",
        "rows": rows,
        "t_index_list": INDICES[rows],
        "prompt": "embeddings",
        "text": "a lake",
        "noise_frames": 16,
        **changes,
    }
    return Live2DiffOptions(**given)


def micro_model(options: Live2DiffOptions) -> Live2DiffModel:
    """A model with random weights whose UNet has two levels."""
    whole = open_sources(WEIGHTS, options)
    source = ModuleSource(MICRO, MICRO.name, lambda keep: random_state(MICRO, 3, keep))
    sources = Sources(
        unet=Network(source),
        temporal=TemporalSource("random:1", MICRO),
        vae=whole.vae,
        depth=whole.depth,
        encoders=whole.encoders,
        tokenizer=whole.tokenizer,
    )
    return Live2DiffModel(sources, options, SIZE)


class Bundles:
    """Bundles of micro streams without self-tests: what compares them is the tests themselves. Graphs that
    two streams share are exported once.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._graphs: dict[str, dict[str, bytes]] = {}
        self._bundles: dict[Live2DiffOptions, Bundle] = {}

    def of(self, options: Live2DiffOptions) -> Bundle:
        """The bundle of these options, float32 for ONNX Runtime on the CPU."""
        if options not in self._bundles:
            self._bundles[options] = self._written(options, self._root / f"{len(self._bundles)}.v2v")
        return self._bundles[options]

    def _written(self, options: Live2DiffOptions, root: Path) -> Bundle:
        model = micro_model(options)
        specs = model.graphs(GraphOptions())
        sources: dict[str, Source] = {}
        for spec in specs:
            for name, data in self._exported(spec).items():
                sources[f"graphs/{name}"] = data
        graphs = {spec.name: Graph(spec.inputs, spec.outputs, spec.resident) for spec in specs}
        manifest = make_manifest(model.program(), graphs)
        write_bundle(root, manifest, graphs=sources, blobs=model.blobs())
        write_target(root, make_target())
        return Bundle.open(root)

    def _exported(self, spec: GraphSpec) -> dict[str, bytes]:
        """File name -> bytes."""
        key = repr((spec.name, spec.inputs, spec.outputs))
        if key not in self._graphs:
            with tempfile.TemporaryDirectory() as folder:
                lowering = {"window": "stacked"}
                export_graph(spec, "float32", lowering, Path(folder), spec.name)
                self._graphs[key] = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
        return self._graphs[key]
