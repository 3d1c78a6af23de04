"""What is exported: the prompt's graphs, a frame to its noisy latent, the student's step, the decoder."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn
from v2v_export.diffusion.conditioning import Conditioning
from v2v_export.diffusion.geometry import latent_spec
from v2v_export.diffusion.networks import Networks
from v2v_export.diffusion.precision import recast
from v2v_export.diffusion.stream_ends import OK, decode_graph, encode_graph
from v2v_export.system import FrameSize, GraphOptions, GraphSpec
from v2v_export.systems.std.modules import Denoise, DenoiseBatch
from v2v_export.systems.std.program import const_specs
from v2v_runtime.manifest.model import TensorSpec


def stream_graphs(
    networks: Networks,
    conditioning: Conditioning,
    size: FrameSize,
    steps: int,
    batched: bool,
    options: GraphOptions,
) -> list[GraphSpec]:
    """The graphs that the stream's program calls, in the order of its calls."""
    return [
        *conditioning.graphs(options),
        encode_graph(networks.vae, size, options.dtype),
        _denoise(networks, conditioning, size, steps if batched else 1, options),
        decode_graph(networks.vae, size, options.dtype),
    ]


def _denoise(
    networks: Networks, conditioning: Conditioning, size: FrameSize, rows: int, options: GraphOptions
) -> GraphSpec:
    one = latent_spec(size, 1)
    told = {
        **{name: const_specs(size, rows)[name] for name in ("timesteps", "a", "b")},
        "guidance": TensorSpec("float32", (1,)),
        **_added_first(conditioning),
    }
    if rows == 1:
        return GraphSpec(
            "denoise", _made(Denoise, networks, options), {"x": one, **told}, {"x_next": one, **OK}
        )
    waiting = latent_spec(size, rows - 1)
    return GraphSpec(
        "denoise",
        _made(DenoiseBatch, networks, options),
        {"x_new": one, "waiting": waiting, **told},
        {"clean": one, "new_waiting": waiting, **OK},
    )


def _made(
    kind: type[Denoise] | type[DenoiseBatch], networks: Networks, options: GraphOptions
) -> Callable[[], nn.Module]:
    return lambda: kind(recast(networks.unet.load(), options.dtype), options.dtype, options.lowering)


def _added_first(conditioning: Conditioning) -> dict[str, TensorSpec]:
    """The prompt's ports, the added conditioning before keys and values: those are as many as there are."""
    cross = dict(conditioning.shape.cross)
    return {"added": cross.pop("added"), **cross}
