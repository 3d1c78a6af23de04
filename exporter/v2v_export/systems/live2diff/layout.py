"""The shapes of one stream: what its program, its graphs and its literal stream agree on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from v2v_export.diffusion.geometry import frame_spec, latent_size, latent_spec
from v2v_export.system import FrameSize
from v2v_export.systems.live2diff.options import Live2DiffOptions
from v2v_runtime.manifest.model import TensorSpec


@dataclass(frozen=True)
class Layout:
    """Sizes of one stream.

    Attributes:
        size: of the frames.
        options: T and the rest.
        channels: of the UNet's first feature, where the depth condition is added.
        cross: port, and slot of that name -> spec of cross-attention's keys and values, one prompt row.
        sinks: slot -> spec [T, ...] of the warm-up's keys and values, in the graphs' order.
        rings: slot -> spec of the rolling ones, as ``temporal_state.ring_specs`` gives them.
    """

    size: FrameSize
    options: Live2DiffOptions
    channels: int
    cross: Mapping[str, TensorSpec]
    sinks: Mapping[str, TensorSpec]
    rings: Mapping[str, TensorSpec]

    @property
    def rows(self) -> int:
        return self.options.rows

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of a latent."""
        return latent_size(self.size)

    def frames(self, count: int) -> TensorSpec:
        """uint8 pictures [count, H, W, 3]."""
        return frame_spec(self.size, count)

    def pictures(self, count: int) -> TensorSpec:
        """Float pictures [count, 3, H, W] in [-1, 1]."""
        return TensorSpec("float", (count, 3, self.size.height, self.size.width))

    def latents(self, *count: int) -> TensorSpec:
        """Latents [count, 4, h, w], float32 in every variant: the sampler rounds nothing."""
        return latent_spec(self.size, *count)

    def conditions(self, count: int) -> TensorSpec:
        """The depth encoder's features [count, C0, h, w]."""
        return TensorSpec("float", (count, self.channels, *self.latent_size))

    @property
    def warm_rows(self) -> dict[str, TensorSpec]:
        """What one warm-up call gives: ``warm_...`` for each sink ``sink_...``, one row of it."""
        return {
            "warm_" + name.removeprefix("sink_"): TensorSpec(spec.dtype, (1, *spec.shape[1:]))
            for name, spec in self.sinks.items()
        }

    @property
    def new_entries(self) -> dict[str, TensorSpec]:
        """What one step gives: ``new_...`` for each ring ``ring_...``, one entry of it; ``in_place`` has one
        entry on axis 0, which is the whole."""
        return {
            "new_" + name.removeprefix("ring_"): TensorSpec(spec.dtype, (1, *spec.shape[1:]))
            for name, spec in self.rings.items()
        }

    @property
    def tables(self) -> dict[str, TensorSpec]:
        """The consts: sampler coefficients, timesteps and noise.

        ``noise_start`` [K, 4, h, w] noises a new frame; ``noise_step`` [T - 1, K, 4, h, w] a latent on its
        way from row r to r + 1. A graph takes entry ``frame_index % K``.
        """
        rows, entries = self.rows, self.options.noise_frames
        tables = {
            "timesteps": TensorSpec("int64", (rows,)),
            "coefficients": TensorSpec("float32", (rows, 3)),
            "start": TensorSpec("float32", (2,)),
            "noise_start": self.latents(entries),
        }
        if rows > 1:
            tables["noise_step"] = self.latents(rows - 1, entries)
        return tables

    @property
    def buffers(self) -> dict[str, TensorSpec]:
        """The slots that ride along with the frames in flight; none with one row."""
        if self.rows == 1:
            return {}
        return {"x_buffer": self.latents(self.rows - 1), "cond_buffer": self.conditions(self.rows - 1)}
