"""The two ends of a stream's step, as calls and as graphs: a frame to a noisy latent, a latent to a frame.

Programs are made without torch, so the modules (``stream_modules``) are imported when a graph is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from v2v_runtime.manifest.model import Binding, Call, TensorSpec

from v2v_export.diffusion.geometry import frame_spec, latent_spec, picture_spec
from v2v_export.system import FrameSize, GraphSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from v2v_export.diffusion.networks import Network

OK = {"ok": TensorSpec("bool", (1,))}
"""The port by which a graph says that all it made is finite."""


def encode_call(noise: Binding, made: str) -> Call:
    """The frame as the latent ``made``, with ``noise`` and the const ``start``."""
    reads: dict[str, Binding] = {"frame": "frame", "start": "start", "first_noise": noise}
    return Call("encode", "encode", reads, {"x_new": made, "ok": None}, check=("ok",))


def decode_call(clean: str, graph: str = "decode") -> Call:
    """The latent ``clean`` as the frame ``out``."""
    return Call("decode", graph, {"clean": clean}, {"out": "out", "ok": None}, check=("ok",))


def encode_graph(
    vae: Network, size: FrameSize, dtype: torch.dtype, example: Mapping[str, torch.Tensor] | None = None
) -> GraphSpec:
    """``stream_modules.Encode`` of one frame; ``example`` as in ``GraphSpec``."""
    latent = latent_spec(size, 1)

    def module() -> nn.Module:
        from v2v_export.diffusion.stream_modules import Encode

        return Encode(vae.load(), dtype)

    return GraphSpec(
        "encode",
        module,
        {"frame": frame_spec(size), "start": TensorSpec("float32", (2,)), "first_noise": latent},
        {"x_new": latent, **OK},
        {"latent": latent},
        example=dict(example or {}),
    )


def decode_graph(
    vae: Network,
    size: FrameSize,
    dtype: torch.dtype,
    *,
    name: str = "decode",
    frames: int = 1,
    resident: Literal["always", "phase"] = "always",
) -> GraphSpec:
    """``stream_modules.Decode`` of ``frames`` latents."""

    def module() -> nn.Module:
        from v2v_export.diffusion.stream_modules import Decode

        return Decode(vae.load(), dtype)

    return GraphSpec(
        name,
        module,
        {"clean": latent_spec(size, frames)},
        {"out": frame_spec(size, frames), **OK},
        {"out_float": picture_spec(size, frames)},
        resident=resident,
    )
