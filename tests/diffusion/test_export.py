"""The shared networks as exported graphs: numbers in ONNX Runtime, half precision, fused attentions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from support.small_networks import SMALL_SD, SMALL_XL
from support.tensorrt_nets import build as build_engine
from support.tensorrt_nets import request
from torch import Tensor, nn
from torch.nn import functional
from v2v_export.diffusion.configs import ARCHITECTURES, Architecture, build
from v2v_export.diffusion.cross_kv import CrossKV
from v2v_export.diffusion.layers import attend
from v2v_export.diffusion.random_weights import random_state
from v2v_export.diffusion.unet import StreamUNet, cross_ports, cross_specs
from v2v_export.diffusion.vae import Decoder, Encoder
from v2v_export.export.pipeline import export_graph
from v2v_export.system import GraphSpec
from v2v_export.targets.tensorrt import BUILDER
from v2v_runtime.manifest.model import TensorSpec

SMALL_KL = Architecture(
    "small_kl",
    "kl",
    {
        **ARCHITECTURES["tiny_kl"].config,
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
    },
)
"""The KL autoencoder with one halving in place of three."""


class Ports(nn.Module):
    """The UNet with its inputs as ports."""

    def __init__(self, unet: StreamUNet) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, sample: Tensor, timestep: Tensor, *rest: Tensor) -> Tensor:
        count = 2 * len(self.unet.cross_layers)
        out: Tensor = self.unet(sample, timestep, rest[:count], *rest[count:])
        return out


def network(of: Architecture) -> Any:
    made = build(of)
    made.load_state_dict(random_state(of, 0), assign=True)
    return made


def unet_spec(
    unet: Any, batch: int, rows: int, dtype: torch.dtype, size: int = 16, **lowering: str
) -> GraphSpec:
    stream = StreamUNet(unet, dtype, lowering)
    latent = TensorSpec("float", (batch, 4, size, size))
    ports = {
        "sample": latent,
        "timestep": TensorSpec("int64", (batch,)),
        **cross_specs(stream.cross_layers, rows),
    }
    if unet.config.addition_embed_type == "text_time":
        ports["added"] = TensorSpec("float", (rows, 4 * unet.config.block_out_channels[0]))
    example = {"timestep": torch.tensor([999, 320, 12, 640])[:batch]}
    return GraphSpec("unet", lambda: Ports(stream), ports, {"eps": latent}, example=example)


def cross_spec(unet: Any, rows: int, dtype: torch.dtype) -> GraphSpec:
    module = CrossKV(unet, dtype)
    layers = StreamUNet(unet, dtype).cross_layers
    ports = {"embeds": TensorSpec("float", (rows, 77, unet.config.cross_attention_dim))}
    outputs = dict(cross_specs(layers, rows))
    if unet.config.addition_embed_type == "text_time":
        ports |= {"pooled": TensorSpec("float", (rows, 32)), "time_ids": TensorSpec("float32", (rows, 6))}
        outputs["added"] = TensorSpec("float", (rows, 4 * unet.config.block_out_channels[0]))
    return GraphSpec("cross_kv", lambda: module, ports, outputs)


def exported(spec: GraphSpec, folder: Path, half: bool = False) -> Path:
    return export_graph(spec, "float16" if half else "float32", {}, folder, spec.name)


def played(path: Path, feeds: Mapping[str, Any]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = {key: np.asarray(value) for key, value in feeds.items()}
    made: Sequence[Any] = session.run(None, given)
    return [np.asarray(item) for item in made]


def feeds(unet: Any, batch: int, rows: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs of both graphs in float32."""
    generator = torch.Generator().manual_seed(3)
    prompt = {"embeds": torch.randn(rows, 77, unet.config.cross_attention_dim, generator=generator)}
    if unet.config.addition_embed_type == "text_time":
        prompt["pooled"] = torch.randn(rows, 32, generator=generator)
        prompt["time_ids"] = torch.tensor([[960.0, 1280, 0, 8, 512, 768]] * rows)
    sample = torch.randn(batch, 4, 16, 16, generator=generator)
    return {"sample": sample, "timestep": torch.tensor([999, 320, 12, 640])[:batch]}, prompt


def judged(of: Architecture, stream: Mapping[str, Tensor], prompt: Mapping[str, Tensor]) -> Tensor:
    """What diffusers computes in float32."""
    unet: Any = build(of, "cpu")
    unet.load_state_dict({key: item.float() for key, item in random_state(of, 0).items()})
    repeat = len(stream["sample"]) // len(prompt["embeds"])
    every = {key: item.repeat_interleave(repeat, 0) for key, item in prompt.items()}
    extra = {}
    if "pooled" in every:
        extra = {"added_cond_kwargs": {"text_embeds": every["pooled"], "time_ids": every["time_ids"]}}
    out: Tensor = unet(stream["sample"], stream["timestep"], every["embeds"], **extra).sample
    return out


@pytest.mark.parametrize(("of", "batch", "rows"), [(SMALL_SD, 3, 1), (SMALL_XL, 4, 2)])
def test_two_graphs_compute_what_diffusers_computes(
    of: Architecture, batch: int, rows: int, tmp_path: Path
) -> None:
    unet = network(of)
    stream, prompt = feeds(unet, batch, rows)
    cross = exported(cross_spec(unet, rows, torch.float32), tmp_path)
    names = [item.name for item in onnx.load(cross, load_external_data=False).graph.output]
    made = dict(zip(names, played(cross, prompt), strict=True))
    assert names[:2] == list(cross_ports(StreamUNet(unet).cross_layers))[:2]
    path = exported(unet_spec(unet, batch, rows, torch.float32), tmp_path)
    (found,) = played(path, {**stream, **made})
    wanted = judged(of, stream, prompt)
    assert wanted.std() > 0.3
    assert np.abs(found - wanted.numpy()).max() < 1e-4
    # Rows that share a prompt are one row of queries: nothing repeats keys or values.
    operators = {node.op_type for node in onnx.load(path, load_external_data=False).graph.node}
    assert not operators & {"Expand", "Tile"}


def half(values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    made = {key: np.asarray(value) for key, value in values.items()}
    return {
        key: item.astype(np.float16) if item.dtype == np.float32 and key != "time_ids" else item
        for key, item in made.items()
    }


@pytest.mark.parametrize(("of", "rows"), [(SMALL_SD, 1), (SMALL_XL, 2)])
def test_half_precision_is_close_finite_and_fused(of: Architecture, rows: int, tmp_path: Path) -> None:
    unet = network(of)
    stream, prompt = feeds(unet, 4, rows)
    cross = exported(cross_spec(unet, rows, torch.float16), tmp_path, half=True)
    names = [item.name for item in onnx.load(cross, load_external_data=False).graph.output]
    made = dict(zip(names, played(cross, half(prompt)), strict=True))
    path = exported(unet_spec(unet, 4, rows, torch.float16), tmp_path, half=True)
    (found,) = played(path, half({**stream, **made}))
    wanted = judged(of, stream, prompt).numpy()
    assert found.dtype == np.float16
    assert np.abs(found - wanted).max() < 2e-2
    # Latents a thousand times too large.
    (found,) = played(path, half({**stream, **made, "sample": stream["sample"] * 1000}))
    assert np.isfinite(found).all()
    check_islands(path)
    if BUILDER.available().ok:
        counters = build_engine(request(path, tmp_path / "work")).counters
        assert counters["attentions_fused"] == 2 * len(StreamUNet(unet).cross_layers) == 8


def check_islands(path: Path) -> None:
    """Statistics of norms and softmax are float32, convolutions and products float16."""
    graph = onnx.load(path, load_external_data=False).graph
    types = {item.name: item.type.tensor_type.elem_type for item in graph.value_info}
    seen = set()
    for node in graph.node:
        if node.op_type in ("Softmax", "LayerNormalization", "InstanceNormalization", "GroupNormalization"):
            assert types[node.output[0]] == onnx.TensorProto.FLOAT, node.name
            seen.add(node.op_type)
        if node.op_type in ("Conv", "MatMul", "Gemm") and node.output[0] in types:
            assert types[node.output[0]] == onnx.TensorProto.FLOAT16, node.name
            seen.add(node.op_type)
    assert {"Softmax", "LayerNormalization", "Conv", "MatMul"} <= seen


def test_scores_past_half_precisions_range() -> None:
    """Operators run one by one in half precision make NaN of them; with wide scores they do not."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, 16, 32, generator=generator) for _ in range(3))
    q, k = (300 * q).half(), (300 * k).half()
    wanted = functional.scaled_dot_product_attention(q.double(), k.double(), v.half().double())
    assert not torch.isfinite(attend(q, k, v.half())).all()
    assert (attend(q, k, v.half(), wide=True) - wanted).abs().max() < 2e-3


@pytest.mark.parametrize("of", [ARCHITECTURES["tiny_taesd"], SMALL_KL])
def test_autoencoders(of: Architecture, tmp_path: Path) -> None:
    vae = network(of)
    frame, picture = TensorSpec("uint8", (1, 32, 48, 3)), TensorSpec("float32", (1, 3, 32, 48))
    encoder, decoder = Encoder(vae), Decoder(vae)
    level = np.random.default_rng(0).integers(0, 256, (1, 32, 48, 3), np.uint8)
    wanted = encoder(torch.from_numpy(level))
    latent = TensorSpec("float", tuple(wanted.shape))
    spec = GraphSpec("encode", lambda: encoder, {"frame": frame}, {"latent": latent})
    (found,) = played(exported(spec, tmp_path), {"frame": level})
    assert np.abs(found - wanted.numpy()).max() < 1e-4
    spec = GraphSpec("decode", lambda: decoder, {"latent": latent}, {"out": frame}, {"tap": picture})
    (out,) = played(exported(spec, tmp_path), {"latent": found})
    levels, _ = decoder(torch.from_numpy(found))
    assert out.dtype == np.uint8
    assert np.abs(out.astype(int) - levels.numpy()).max() <= 1
    assert levels.float().std() > 5
