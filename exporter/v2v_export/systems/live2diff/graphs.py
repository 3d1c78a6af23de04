"""What is exported: the stream's graphs, and the warm-up's, which are loaded for it alone.

Warm-up and step are the same weights in two graphs; a bundle stores them once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from v2v_export.diffusion.precision import in_precision, recast
from v2v_export.diffusion.stream_ends import OK, decode_graph
from v2v_export.diffusion.vae import Encoder, half_parameters
from v2v_export.system import GraphOptions, GraphSpec
from v2v_export.systems.live2diff.denoise import DenoiseStep, DenoiseWarmup
from v2v_export.systems.live2diff.depth import DepthPicture
from v2v_export.systems.live2diff.depth_detector import DepthDetector
from v2v_export.systems.live2diff.ends import Depth, Encode
from v2v_export.systems.live2diff.layout import Layout
from v2v_export.systems.live2diff.options import RING_SLOTS, WARMUP_FRAMES
from v2v_export.systems.live2diff.sources import Sources
from v2v_export.systems.live2diff.temporal import TemporalParts
from v2v_export.systems.live2diff.temporal_scatter import OPSET
from v2v_export.systems.live2diff.unet_graphs import UnetStep, UnetWarmup
from v2v_runtime.manifest.model import TensorSpec

_INDEX = TensorSpec("int64", (1,))


class GraphFactory:
    """The graphs of one variant.

    Args:
        sources: the weights; a graph's module reads its own when it is made.
        layout: the shapes.
        tables: the consts' values, to trace and compare with.
        options: precision and forms.
    """

    def __init__(
        self, sources: Sources, layout: Layout, tables: Mapping[str, Tensor], options: GraphOptions
    ) -> None:
        self._sources, self._layout = sources, layout
        self._tables, self._options = tables, options

    def specs(self) -> list[GraphSpec]:
        """All but the prompt's, in the order of the program's calls."""
        return [
            self._depth("warmup_depth", WARMUP_FRAMES),
            self._encode("warmup_encode", WARMUP_FRAMES),
            self._unet_warmup(),
            self._decode("warmup_decode", WARMUP_FRAMES),
            self._depth("depth", 1),
            self._encode("encode", 1),
            self._unet_step(),
            self._decode("decode", 1),
        ]

    def _depth(self, name: str, frames: int) -> GraphSpec:
        dtype = self._options.dtype
        wide = self._options.lowering.get("attention") == "wide"

        def module() -> Depth:
            detector = DepthDetector(self._sources.depth.load(), dtype, wide=wide)
            return Depth(DepthPicture(detector, dtype))

        layout = self._layout
        inputs, outputs = {"frame": layout.frames(frames)}, {"depth": layout.pictures(frames)}
        return GraphSpec(name, module, inputs, outputs, resident=self._resident(frames))

    def _encode(self, name: str, frames: int) -> GraphSpec:
        dtype, layout = self._options.dtype, self._layout

        def module() -> Encode:
            condition = self._sources.temporal.load_condition()
            return Encode(Encoder(self._sources.vae.load(), dtype), in_precision(condition, dtype))

        tables = layout.tables
        inputs = {
            "frame": layout.frames(frames),
            "depth": layout.pictures(frames),
            "start": tables["start"],
            "noise_start": tables["noise_start"],
            "frame_index": _INDEX,
        }
        outputs = {"x": layout.latents(frames), "cond": layout.conditions(frames), **OK}
        example = {"start": self._tables["start"], "frame_index": torch.tensor([WARMUP_FRAMES + 3])}
        return GraphSpec(name, module, inputs, outputs, resident=self._resident(frames), example=example)

    def _unet_warmup(self) -> GraphSpec:
        options, layout = self._options, self._layout

        def module() -> DenoiseWarmup:
            unet = UnetWarmup(*self._networks(), options.dtype, options.lowering)
            return DenoiseWarmup(unet, layout)

        inputs = {
            "x": layout.latents(WARMUP_FRAMES),
            "cond": layout.conditions(WARMUP_FRAMES),
            "timestep": _INDEX,
            "coefficients": TensorSpec("float32", (1, 3)),
            "frame_index": _INDEX,
            **layout.cross,
        }
        if layout.rows > 1:
            inputs["noise_step"] = layout.latents(1, layout.options.noise_frames)
        outputs = {"x_next": layout.latents(WARMUP_FRAMES), **OK, **layout.warm_rows}
        example = {
            "timestep": self._tables["timesteps"][:1],
            "coefficients": self._tables["coefficients"][:1],
            "frame_index": torch.tensor([WARMUP_FRAMES]),
        }
        return GraphSpec("unet_warmup", module, inputs, outputs, resident="phase", example=example)

    def _unet_step(self) -> GraphSpec:
        options, layout = self._options, self._layout

        def module() -> DenoiseStep:
            unet = UnetStep(
                *self._networks(),
                layout.rows,
                options.dtype,
                options.lowering,
                official_startup=layout.options.official_startup,
                cache=layout.options.cache,
            )
            return DenoiseStep(unet, layout)

        tables = [name for name in layout.tables if name not in ("start", "noise_start")]
        inputs = {
            "x": layout.latents(1),
            "cond": layout.conditions(1),
            **layout.buffers,
            "step": _INDEX,
            "frame_index": _INDEX,
            **{name: layout.tables[name] for name in tables},
            **layout.cross,
            **layout.sinks,
            **layout.rings,
        }
        nexts = {f"{name}_next": spec for name, spec in layout.buffers.items()}
        outputs = {"clean": layout.latents(1), **OK, **nexts, **layout.new_entries}
        # A step at which every entry of the rings is open, and not the first time round.
        step = RING_SLOTS + 3
        example = {
            "timesteps": self._tables["timesteps"],
            "coefficients": self._tables["coefficients"],
            "step": torch.tensor([step]),
            "frame_index": torch.tensor([WARMUP_FRAMES + step]),
        }
        opset = OPSET if layout.options.cache == "in_place" else None
        return GraphSpec(
            "unet_step",
            module,
            inputs,
            outputs,
            resident=self._resident(1),
            example=example,
            opset=opset,
        )

    def _networks(self) -> tuple[nn.Module, TemporalParts]:
        """Spatial UNet and temporal modules in the variant's type."""
        dtype = self._options.dtype
        return recast(self._sources.unet.load(), dtype), recast(self._sources.temporal.load(), dtype)

    def _resident(self, frames: int) -> Literal["always", "phase"]:
        return "phase" if frames == WARMUP_FRAMES else self._layout.options.resident

    def _decode(self, name: str, frames: int) -> GraphSpec:
        vae, size, dtype = self._sources.vae, self._layout.size, self._options.dtype
        return decode_graph(vae, size, dtype, name=name, frames=frames, resident=self._resident(frames))


def weight_counts(sources: Sources, elsewhere: int) -> dict[str, int]:
    """Graph -> how many numbers it holds, without reading them.

    Args:
        elsewhere: of the UNet's, those that make keys and values of the prompt, in a graph of their own.
    """
    detector, condition = sources.depth.parameters, sources.temporal.condition_parameters
    encoder, decoder = half_parameters(sources.vae.architecture)
    unet = sources.unet.parameters - elsewhere + sources.temporal.parameters
    once = {"depth": detector, "encode": encoder + condition, "decode": decoder}
    return {
        **{f"warmup_{name}": count for name, count in once.items()},
        "unet_warmup": unet,
        **once,
        "unet_step": unet,
    }
