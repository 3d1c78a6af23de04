"""What one recipe asks for: a student with its options and frame size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from v2v_export.diffusion import conditioning as prompts
from v2v_export.diffusion.geometry import SideRule, check_frame_size, latent_spec
from v2v_export.diffusion.networks import Networks
from v2v_export.diffusion.noise import noise_table
from v2v_export.diffusion.precision import recast
from v2v_export.diffusion.vae import half_parameters
from v2v_export.system import FrameSize, GraphOptions, GraphSpec, ReferenceFrame
from v2v_export.systems.std import graphs, program
from v2v_export.systems.std.checks import check_options
from v2v_export.systems.std.options import StdOptions
from v2v_export.systems.std.reference import Conditioning, ReferenceStream, time_ids
from v2v_export.systems.std.schedule import student_table
from v2v_export.systems.std.weights import open_student
from v2v_export.weights import Weights
from v2v_runtime.manifest.model import CallOverride, Program

SIDES = SideRule(64, "SDXL and its students are trained at sides in steps of 64")
"""The UNet itself would take steps of 32."""

TRAINED = "students were trained at 512 x 512 to 960 x 1280"


class StdModel:
    """A student as a stream (``v2v_export.system.Model``)."""

    def __init__(self, networks: Networks, options: StdOptions, size: FrameSize) -> None:
        check_frame_size(size, SIDES, TRAINED)
        check_options(options)
        self._networks, self._options, self._size = networks, options, size
        self._table = student_table(options)
        self._batched = options.mode == "batched" and len(self._table) > 1
        # The prompt's part: row 0 the negative prompt, row 1 the prompt.
        self.conditioning = prompts.Conditioning(
            form=options.prompt,
            texts=(options.negative_text, options.text),
            time_ids=time_ids(size.height, size.width),
            **networks.conditioning(),
        )

    @classmethod
    def load(cls, weights: Weights, options: StdOptions, size: FrameSize) -> StdModel:
        """See ``System.load``."""
        check_options(options)  # words about options come before a search for weights
        check_frame_size(size, SIDES, TRAINED)
        return cls(open_student(weights, options), options, size)

    def program(self) -> Program:
        return program.stream_program(self._size, len(self._table), self._batched, self.conditioning.pieces())

    def blobs(self) -> Mapping[str, Mapping[str, NDArray[Any]]]:
        table = self._table
        tables: dict[str, NDArray[Any]] = {
            "start": np.array(table.start, np.float32),
            "noise": self.noise(),
            "timesteps": table.timesteps,
            "a": table.a.astype(np.float32),
            "b": table.b.astype(np.float32),
            "guidance": np.array([self._options.guidance], np.float32),
        }
        return {**self.conditioning.blobs(), program.TABLES: tables}

    def weight_counts(self) -> Mapping[str, int]:
        prompt = self.conditioning.weight_counts()
        encoder, decoder = half_parameters(self._networks.vae.architecture)
        return {
            **prompt,
            "encode": encoder,
            "denoise": self._networks.unet.parameters - prompt["cross_kv"],
            "decode": decoder,
        }

    def graphs(self, options: GraphOptions) -> Sequence[GraphSpec]:
        steps = len(self._table)
        return graphs.stream_graphs(
            self._networks, self.conditioning, self._size, steps, self._batched, options
        )

    def overrides(self, options: GraphOptions) -> Mapping[str, CallOverride]:
        return {}

    def reference(self) -> LiteralStream:
        embeddings = self.conditioning.literal()  # first: the text encoders are gone before the UNet comes
        assert embeddings.pooled is not None
        unet = recast(self._networks.unet.load(), torch.float32)
        vae = recast(self._networks.vae.load(), torch.float32)
        told = Conditioning(
            embeddings.embeds,
            embeddings.pooled,
            torch.from_numpy(time_ids(self._size.height, self._size.width)),
        )
        stream = ReferenceStream(unet, vae, self._options, told, torch.from_numpy(self.noise()))
        return LiteralStream(stream, self.conditioning.literal_slots(unet, embeddings))

    def teacher(self) -> None:
        return None

    def noise(self) -> NDArray[np.float32]:
        """The start noise of every frame, [1, 4, h, w]."""
        return noise_table(self._options.seed, 1, latent_spec(self._size, 1).shape[1:])


class LiteralStream:
    """The literal stream in the form that parity reads (``v2v_export.system.Reference``)."""

    def __init__(self, stream: ReferenceStream, derived: Mapping[str, NDArray[Any]]) -> None:
        self.stream, self._derived = stream, derived

    def reset(self) -> None:
        self.stream.reset()

    def step(self, frames: NDArray[np.uint8]) -> Sequence[ReferenceFrame]:
        made = [self.stream.step(frame) for frame in frames]
        return [frame for frame in made if frame is not None]

    def slots(self) -> Mapping[str, NDArray[Any]]:
        if not self.stream.started:
            return {}
        waiting = {name: value.numpy() for name, value in self.stream.slots().items()}
        return {**self._derived, **waiting}
