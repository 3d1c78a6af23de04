"""The model of Live2Diff: what one recipe asks for (``v2v_export.system.Model``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from v2v_export.diffusion.conditioning import Conditioning
from v2v_export.diffusion.geometry import LATENT_CHANNELS, latent_size
from v2v_export.diffusion.literal_filter import literal_filter
from v2v_export.diffusion.noise import noise_table
from v2v_export.diffusion.similarity_pieces import chosen_filter
from v2v_export.system import FrameSize, GraphOptions, GraphSpec
from v2v_export.systems.live2diff import program
from v2v_export.systems.live2diff.graphs import GraphFactory, weight_counts
from v2v_export.systems.live2diff.layout import Layout
from v2v_export.systems.live2diff.literal import LiteralStream
from v2v_export.systems.live2diff.options import Live2DiffOptions, check
from v2v_export.systems.live2diff.sources import Sources, open_sources
from v2v_export.systems.live2diff.temporal_state import ring_specs, sink_specs
from v2v_export.weights import Weights
from v2v_runtime.manifest.model import Program


class Live2DiffModel:
    """One stream: weights checked by their headers, nothing read.

    Args:
        sources: the networks.
        options: see there.
        size: of the frames, multiples of 64.

    Raises:
        GeometryError, WeightsError: V2V-E6271 to V2V-E6275, and those of the shared parts.
    """

    def __init__(self, sources: Sources, options: Live2DiffOptions, size: FrameSize) -> None:
        check(options, size)
        self.options, self.sources = options, sources
        of = self.sources.unet.architecture
        self.conditioning = Conditioning(
            form=options.prompt,
            texts=(options.text,),
            unet=self.sources.unet,
            encoders=self.sources.encoders,
            tokenizer=self.sources.tokenizer,
            clip_skip=options.clip_skip,
            embeddings=self.sources.embeddings,
        )
        self.pieces = self.conditioning.pieces()
        latent = latent_size(size)
        self.layout = Layout(
            size=size,
            options=options,
            channels=int(of.config["block_out_channels"][0]),
            cross=self.pieces.cross,
            sinks=sink_specs(of.config, options.rows, *latent),
            rings=ring_specs(of.config, options.rows, *latent, options.cache),
        )
        self.filter = chosen_filter(options, size, options.rows)

    @classmethod
    def load(cls, weights: Weights, options: Live2DiffOptions, size: FrameSize) -> Live2DiffModel:
        """See ``System.load``: what the recipe alone says is checked before any weights are looked at."""
        check(options, size)
        return cls(open_sources(weights, options), options, size)

    def program(self) -> Program:
        return program.stream_program(self.layout, self.pieces, self.filter)

    def blobs(self) -> Mapping[str, Mapping[str, NDArray[Any]]]:
        blobs: dict[str, Mapping[str, NDArray[Any]]] = dict(self.conditioning.blobs())
        blobs[program.TABLES] = self.tables()
        if self.filter is not None:
            blobs.update(self.filter.blobs)
        if self.layout.buffers:
            blobs[program.STATE] = {"cond_buffer": self._idle_condition()}
        return blobs

    def tables(self) -> dict[str, NDArray[Any]]:
        """The consts: timesteps, coefficients and noise."""
        options, table = self.options, self.options.table()
        coefficients = table.coefficients()
        if not options.add_noise:
            coefficients[:, 2] = 0
        shape = (LATENT_CHANNELS, *self.layout.latent_size)
        values: dict[str, NDArray[Any]] = {
            "timesteps": table.timesteps,
            "coefficients": coefficients,
            "start": np.array(table.start, np.float32),
            "noise_start": noise_table(options.seed, options.noise_frames, shape),
        }
        between = [
            noise_table(options.seed, options.noise_frames, shape, stream=1 + row)
            for row in range(options.rows - 1)
        ]
        if between:
            values["noise_step"] = np.stack(between)
        return values

    def weight_counts(self) -> Mapping[str, int]:
        more = dict.fromkeys((item.name for item in self.filter.graphs) if self.filter else (), 0)
        prompt = self.conditioning.weight_counts()
        return {**prompt, **weight_counts(self.sources, prompt["cross_kv"]), **more}

    def graphs(self, options: GraphOptions) -> Sequence[GraphSpec]:
        tables = {name: torch.from_numpy(value) for name, value in self.tables().items()}
        factory = GraphFactory(self.sources, self.layout, tables, options)
        more = self.filter.graphs if self.filter is not None else ()
        return [*self.conditioning.graphs(options), *factory.specs(), *more]

    def overrides(self, options: GraphOptions) -> Mapping[str, Any]:
        return {}

    def reference(self) -> LiteralStream:
        return self.literal(torch.float32)

    def literal(self, dtype: torch.dtype) -> LiteralStream:
        """A new literal stream in that precision."""
        similarity = literal_filter(self.options, self.filter, self.options.rows)
        return LiteralStream(
            self.sources, self.conditioning, self.options, self.tables(), similarity, dtype=dtype
        )

    def teacher(self) -> None:
        """Live2Diff accelerates no slower stream: its step is the model."""
        return

    @torch.no_grad()
    def _idle_condition(self) -> NDArray[np.float32]:
        """What rows without a frame add to their first feature: E_cond of a depth latent of zeros."""
        condition = self.sources.temporal.load_condition().float()
        height, width = self.layout.latent_size
        made = condition(torch.zeros(1, LATENT_CHANNELS, height, width))
        repeated: NDArray[np.float32] = made.repeat(self.options.rows - 1, 1, 1, 1).numpy()
        return repeated
