"""A system that does nothing but follow its prompt: each frame is tinted by cross-attention's K and V."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from v2v_export.diffusion.conditioning import Conditioning
from v2v_export.diffusion.configs import Architecture
from v2v_export.diffusion.random_weights import random_state
from v2v_export.diffusion.sources import ModuleSource, open_module
from v2v_export.diffusion.tokens import load_tokenizers
from v2v_export.export.finite import all_finite
from v2v_export.system import FrameSize, GraphOptions, GraphSpec, ReferenceFrame
from v2v_export.weights import Weights, WeightSlot, one, optional
from v2v_runtime.manifest.model import (
    BlobRef,
    Call,
    CallOverride,
    Emit,
    FrameSpec,
    Param,
    Phase,
    Program,
    TensorSpec,
)

_NETWORK: dict[str, Any] = {
    "down_block_types": ("CrossAttnDownBlock2D",),
    "up_block_types": ("CrossAttnUpBlock2D",),
    "block_out_channels": (16,),
    "norm_num_groups": 4,
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "cross_attention_dim": 32,
    "sample_size": 4,
}
_SDXL = {
    "cross_attention_dim": 64,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 32 + 6 * 8,
}


def network(sdxl: bool) -> ModuleSource:
    """A UNet with four cross-attention layers; only these are used."""
    of = Architecture("small", "unet", {**_NETWORK, **(_SDXL if sdxl else {})})
    return ModuleSource(of, "small", lambda keep: random_state(of, 0, keep))


@dataclass(frozen=True)
class PromptOptions:
    prompt: Literal["tokens", "embeddings"] = "tokens"
    text: str = "a cat"
    negative_text: str = ""
    guided: bool = False
    sdxl: bool = False


class Tint(nn.Module):
    """frame, gain, cross... -> out, ok | out_float: the picture plus a colour made of every K and V."""

    def forward(self, frame: Tensor, gain: Tensor, *cross: Tensor) -> tuple[Tensor, ...]:
        means = torch.stack([item[-1].float()[..., :8].mean() for item in cross])
        mix = torch.cos(torch.arange(3 * len(cross), dtype=torch.float32)).reshape(3, -1)
        tint = torch.tanh(4 * gain.float() * (mix @ means))
        x = frame.float().permute(0, 3, 1, 2) / 127.5 - 1
        y = torch.tanh(0.5 * x + tint[None, :, None, None])
        return ((y + 1) * 127.5).permute(0, 2, 3, 1).to(torch.uint8), all_finite(y), y


class PromptModel:
    """(``v2v_export.system.Model``)."""

    def __init__(self, weights: Weights, options: PromptOptions, size: FrameSize) -> None:
        self.size, base = size, one(weights, "base")
        parts = ("text_encoder", "text_encoder_2") if options.sdxl else ("text_encoder",)
        names = ("tiny_clip", "tiny_open_clip_projected")
        embeddings = optional(weights, "prompt")
        rows = 2 if options.guided else 1
        self.conditioning = Conditioning(
            form=options.prompt,
            texts=(options.negative_text, options.text)[-rows:],
            unet=network(options.sdxl),
            encoders=()
            if embeddings
            else tuple(open_module(base, part, name) for part, name in zip(parts, names, strict=False)),
            tokenizer=None if embeddings else load_tokenizers(base, len(parts)),
            time_ids=np.array([(16, 24, 0, 0, 16, 24)] * rows, np.float32) if options.sdxl else None,
            embeddings=embeddings,
        )

    def program(self) -> Program:
        pieces = self.conditioning.pieces()
        frame = FrameSpec(self.size.height, self.size.width)
        tint = Call(
            "tint",
            "tint",
            {"frame": "frame", "gain": "gain", **{name: name for name in pieces.cross}},
            {"out": "out", "ok": None},
            check=("ok",),
        )
        return Program(
            inputs={"frame": frame},
            outputs={"frame": frame},
            phases=(Phase("stream", "forever", (*pieces.calls, tint), emit=Emit("out")),),
            max_frames=1,
            slots=pieces.slots,
            params={
                **pieces.params,
                "gain": Param("float32", (1,), BlobRef("blobs/gain.safetensors", "gain")),
            },
            consts=pieces.consts,
        )

    def blobs(self) -> Mapping[str, Mapping[str, NDArray[Any]]]:
        return {**self.conditioning.blobs(), "blobs/gain.safetensors": {"gain": np.ones(1, np.float32)}}

    def weight_counts(self) -> Mapping[str, int]:
        return {**self.conditioning.weight_counts(), "tint": 0}

    def graphs(self, options: GraphOptions) -> Sequence[GraphSpec]:
        picture = TensorSpec("uint8", (1, self.size.height, self.size.width, 3))
        tint = GraphSpec(
            "tint",
            Tint,
            {
                "frame": picture,
                "gain": TensorSpec("float32", (1,)),
                **self.conditioning.shape.cross,
            },
            {"out": picture, "ok": TensorSpec("bool", (1,))},
            {"out_float": TensorSpec("float32", (1, 3, self.size.height, self.size.width))},
        )
        return [*self.conditioning.graphs(options), tint]

    def overrides(self, options: GraphOptions) -> Mapping[str, CallOverride]:
        return {}

    def reference(self) -> PromptReference:
        return PromptReference(self.conditioning)

    def teacher(self) -> None:
        return None


class PromptReference:
    """(``v2v_export.system.Reference``): diffusers' and transformers' own modules."""

    def __init__(self, conditioning: Conditioning) -> None:
        unet = conditioning.unet.load().float()
        self._slots = conditioning.literal_slots(unet, conditioning.literal())
        self._cross = [torch.from_numpy(self._slots[name]) for name in conditioning.shape.cross]
        self.reset()

    def reset(self) -> None:
        self._started = False

    def step(self, frames: NDArray[np.uint8]) -> Sequence[ReferenceFrame]:
        self._started = True
        out, _, y = Tint()(torch.from_numpy(frames), torch.ones(1), *self._cross)
        return [ReferenceFrame(y[0].numpy(), out[0].numpy())]

    def slots(self) -> Mapping[str, NDArray[Any]]:
        return self._slots if self._started else {}


class PromptSystem:
    """(``v2v_export.system.System``)."""

    name = "prompted"
    title = "Frames tinted by a prompt"
    weights = (
        WeightSlot("base", forms=("folder", "random")),
        WeightSlot("prompt", required=False, forms=("file",)),
    )
    lowerings: Mapping[str, tuple[str, ...]] = {}
    options: type[Any] = PromptOptions

    def template(self) -> str:
        return ""

    def load(self, weights: Weights, options: Any, size: FrameSize) -> PromptModel:
        return PromptModel(weights, options, size)


REGISTRY: Mapping[str, Any] = {"prompted": PromptSystem()}

RECIPE = """\
name = "prompted"
system = "prompted"
[frame]
height = 16
width = 24
[weights]
base = "random:1"
[targets]
profiles = ["cpu"]
[verify]
frames = 4
"""
