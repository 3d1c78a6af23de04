"""StreamDiffusion around a UNet of two levels: every kind of layer once, traced in a second."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.bundles import make_manifest, make_target
from v2v_export.diffusion.configs import ARCHITECTURES, Architecture
from v2v_export.diffusion.networks import Network, Networks, open_networks
from v2v_export.diffusion.random_weights import random_state
from v2v_export.diffusion.sources import ModuleSource
from v2v_export.export.pipeline import export_graph
from v2v_export.system import FrameSize, GraphOptions, GraphSpec
from v2v_export.systems.stream_diffusion.options import StreamDiffusionOptions
from v2v_export.systems.stream_diffusion.stream import StreamDiffusionModel
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
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "norm_num_groups": 8,
    },
)

SIZE = FrameSize(32, 48)
"""Multiples of 16, as a UNet of two levels needs."""


def micro_model(options: StreamDiffusionOptions, size: FrameSize = SIZE) -> StreamDiffusionModel:
    """A model with random weights; ``options`` name a tiny architecture, whose text encoders it keeps."""
    networks = open_networks(
        {"base": "random:0"}, unet=options.architecture, vae=options.vae, prompt=options.prompt
    )
    source = ModuleSource(MICRO, MICRO.name, lambda keep: random_state(MICRO, 3, keep))
    unet = Network(source)
    return StreamDiffusionModel(
        Networks(unet, networks.vae, networks.encoders, networks.tokenizer), options, size
    )


def micro_options(**changes: Any) -> StreamDiffusionOptions:
    """Options of the tiny networks."""
    given: Mapping[str, Any] = {
        "architecture": "tiny_sd15",
        "vae": "tiny_taesd",
        "prompt": "embeddings",
        "text": "a lake",
        **changes,
    }
    return StreamDiffusionOptions(**given)


INDICES = (30, 35, 40, 45)

#: One step, and every form of guidance with as many rows as differ: 1, 2, 3 (+ 1), 4 (x 2).
CASES = {
    1: micro_options(t_index_list=INDICES[-1:]),
    2: micro_options(t_index_list=INDICES[-2:], cfg="self", guidance=1.4, delta=0.5, add_noise=False),
    3: micro_options(
        t_index_list=INDICES[-3:], cfg="initialize", guidance=1.4, prompt="tokens", negative_text="grey"
    ),
    4: micro_options(t_index_list=INDICES, cfg="full", guidance=1.4, negative_text="grey"),
}


class Bundles:
    """Bundles of micro streams, without self-tests: what compares them is the tests themselves. Graphs that
    two streams share are exported once.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._graphs: dict[str, dict[str, bytes]] = {}
        self._bundles: dict[StreamDiffusionOptions, Bundle] = {}

    def of(self, options: StreamDiffusionOptions) -> Bundle:
        """The bundle of these options at ``SIZE``, float32 for ONNX Runtime on the CPU."""
        if options not in self._bundles:
            self._bundles[options] = self._written(options, self._root / f"{len(self._bundles)}.v2v")
        return self._bundles[options]

    def _written(self, options: StreamDiffusionOptions, root: Path) -> Bundle:
        model = micro_model(options)
        specs = model.graphs(GraphOptions())
        sources: dict[str, Source] = {}
        for spec in specs:
            for name, data in self._exported(spec, options).items():
                sources[f"graphs/{name}"] = data
        graphs = {spec.name: Graph(spec.inputs, spec.outputs) for spec in specs}
        manifest = make_manifest(model.program(), graphs)
        write_bundle(root, manifest, graphs=sources, blobs=model.blobs())
        write_target(root, make_target())
        return Bundle.open(root)

    def _exported(self, spec: GraphSpec, options: StreamDiffusionOptions) -> dict[str, bytes]:
        """File name -> bytes."""
        of_step = (options.cfg, options.velocity) if spec.name == "unet_step" else ()
        key = repr((spec.name, spec.inputs, spec.outputs, of_step))
        if key not in self._graphs:
            with tempfile.TemporaryDirectory() as folder:
                export_graph(spec, "float32", {}, Path(folder), spec.name)
                self._graphs[key] = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
        return self._graphs[key]
