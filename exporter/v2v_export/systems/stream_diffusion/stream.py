"""The model of StreamDiffusion: weights, options and frame size as a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from v2v_export.diffusion.conditioning import Conditioning
from v2v_export.diffusion.geometry import latent_spec
from v2v_export.diffusion.literal_filter import literal_filter
from v2v_export.diffusion.networks import Networks, open_networks
from v2v_export.diffusion.precision import recast
from v2v_export.diffusion.similarity_pieces import FilterPieces, chosen_filter
from v2v_export.diffusion.stream_ends import decode_graph, encode_graph
from v2v_export.diffusion.vae import half_parameters
from v2v_export.system import FrameSize, GraphOptions, GraphSpec
from v2v_export.systems.stream_diffusion import program, tables
from v2v_export.systems.stream_diffusion.checks import (
    check_options,
    check_size,
    check_unet,
    check_weights,
    with_prediction,
)
from v2v_export.systems.stream_diffusion.graphs import UnetStep
from v2v_export.systems.stream_diffusion.options import StreamDiffusionOptions
from v2v_export.systems.stream_diffusion.reference import LiteralStream, ReferenceStream
from v2v_export.weights import Weights
from v2v_runtime.manifest.model import CallOverride, Program


class StreamDiffusionModel:
    """See ``v2v_export.system.Model``. Weights are read when graphs or the reference need them."""

    def __init__(self, networks: Networks, options: StreamDiffusionOptions, size: FrameSize) -> None:
        check_options(options)
        check_unet(networks.unet.architecture, options)
        check_size(size, networks.unet.architecture)
        self._networks, self._options, self._size = networks, options, size
        self._conditioning = Conditioning(
            form=options.prompt,
            texts=(options.negative_text, options.text)[-options.prompt_rows :],
            clip_skip=options.clip_skip,
            pick=options.cross_rows,
            time_ids=self._time_ids,
            **networks.conditioning(),
        )

    @classmethod
    def load(cls, weights: Weights, options: StreamDiffusionOptions, size: FrameSize) -> StreamDiffusionModel:
        """See ``System.load``."""
        check_options(options)
        check_weights(weights, options)
        options = with_prediction(weights, options)
        networks = open_networks(
            weights, unet=options.architecture, vae=options.autoencoder, prompt=options.prompt
        )
        return cls(networks, options, size)

    @property
    def _time_ids(self) -> NDArray[np.float32] | None:
        """SDXL's original size, crop and target size: of a frame that was never cut."""
        if self._networks.unet.architecture.config.get("addition_embed_type") != "text_time":
            return None
        sides = [self._size.height, self._size.width]
        row: NDArray[np.float32] = np.array([*sides, 0, 0, *sides], np.float32)
        return np.tile(row, (self._options.prompt_rows, 1))

    @cached_property
    def _init_noise(self) -> NDArray[np.float32]:
        return tables.draw_noise(self._options, self._size)

    @cached_property
    def _similarity(self) -> FilterPieces | None:
        return chosen_filter(self._options, self._size, self._options.rows)

    def program(self) -> Program:
        pieces = self._conditioning.pieces()
        return program.stream_program(self._size, self._options, pieces, self._similarity)

    def blobs(self) -> Mapping[str, Mapping[str, NDArray[Any]]]:
        numbers = {
            **tables.constants(self._options, self._init_noise),
            **{
                name: value
                for name, value in tables.defaults(self._options).items()
                if name in program.guidance_specs(self._options)
            },
        }
        more = self._similarity.blobs if self._similarity else {}
        return {program.TABLES: numbers, **self._conditioning.blobs(), **more}

    def graphs(self, options: GraphOptions) -> Sequence[GraphSpec]:
        size, stream, networks = self._size, self._options, self._networks
        dtype = options.dtype
        numbers = {name: torch.from_numpy(value) for name, value in self.blobs()[program.TABLES].items()}
        started = {"start": numbers["start"], "first_noise": numbers["init_noise"][:1]}
        ports = program.step_inputs(size, stream, self._conditioning.shape.cross)
        step = GraphSpec(
            "unet_step",
            lambda: UnetStep(
                recast(networks.unet.load(), dtype),
                dtype,
                options.lowering,
                rows=stream.rows,
                cfg=stream.cfg,
                velocity=stream.velocity,
            ),
            ports,
            program.step_outputs(size, stream),
            {"eps": latent_spec(size, stream.rows)},
            example={name: value for name, value in numbers.items() if name in ports},
        )
        return [
            *self._conditioning.graphs(options),
            encode_graph(networks.vae, size, dtype, started),
            step,
            decode_graph(networks.vae, size, dtype),
            *(self._similarity.graphs if self._similarity else ()),
        ]

    def reference(self) -> LiteralStream:
        stream = self.literal(torch.float32)
        unet: nn.Module = stream.unet
        similarity = literal_filter(self._options, self._similarity, self._options.rows)
        return LiteralStream(
            stream, lambda: self._conditioning.literal_slots(unet, stream.prompts), similarity
        )

    def literal(self, dtype: torch.dtype) -> ReferenceStream:
        """The literal stream in float32, or in float64: the prompt's embeddings are float32 in both."""
        time_ids = self._time_ids
        embeddings = self._conditioning.literal()  # first: the text encoders are gone before the UNet comes
        return ReferenceStream(
            recast(self._networks.unet.load(), dtype),
            recast(self._networks.vae.load(), dtype),
            embeddings,
            torch.from_numpy(self._init_noise),
            self._options,
            None if time_ids is None else torch.from_numpy(time_ids),
            dtype,
        )

    def teacher(self) -> None:
        return None

    def weight_counts(self) -> Mapping[str, int]:
        prompt = self._conditioning.weight_counts()
        encoder, decoder = half_parameters(self._networks.vae.architecture)
        # What makes keys, values and SDXL's added conditioning is the prompt's.
        step = self._networks.unet.parameters - prompt["cross_kv"]
        similarity = {graph.name: 0 for graph in (self._similarity.graphs if self._similarity else ())}
        return {**prompt, "encode": encoder, "unet_step": step, "decode": decoder, **similarity}

    def overrides(self, options: GraphOptions) -> Mapping[str, CallOverride]:
        return {}
