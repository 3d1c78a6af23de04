"""The model: ``memory`` is the feature of each interval's last frame, and colours the frames after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from v2v_export.errors import ModelError
from v2v_export.export.finite import all_finite
from v2v_export.system import FrameSize, GraphOptions, GraphSpec, ReferenceFrame
from v2v_runtime.manifest.model import (
    BlobRef,
    Call,
    CallOverride,
    Emit,
    Every,
    FrameSpec,
    Param,
    Phase,
    Program,
    Slot,
    TensorSpec,
)

from tiny_v2v import TinyOptions


class Net(nn.Module):
    """The two convolutions."""

    def __init__(self, options: TinyOptions) -> None:
        super().__init__()
        self.encode = nn.Conv2d(3, options.channels, 3, padding=1, bias=options.bias)
        self.decode = nn.Conv2d(options.channels, 3, 3, padding=1, bias=options.bias)


class Feature(nn.Module):
    """frame -> memory, ok."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        dtype = self.net.encode.weight.dtype
        feature = self.net.encode((frame.float().permute(0, 3, 1, 2) / 127.5 - 1).to(dtype))
        return feature, all_finite(feature)


class Picture(nn.Module):
    """frame, memory, gain -> out, ok | out_float."""

    def __init__(self, net: Net, options: TinyOptions, blend: str) -> None:
        super().__init__()
        self.feature, self.net, self.blend = Feature(net), net, blend
        self.share, self.squash = options.share, getattr(torch, options.activation)

    def forward(self, frame: Tensor, memory: Tensor, gain: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        feature, _ = self.feature(frame)
        mixed = feature + self.share * memory
        if self.blend == "where":
            mixed = torch.where(memory == 0, feature, mixed)
        picture = self.squash(self.net.decode(mixed).float() * gain.float())
        out = ((picture + 1) * 127.5).permute(0, 2, 3, 1).to(torch.uint8)
        return out, all_finite(picture), picture


class TinyModel:
    """The model that one recipe asks for (``v2v_export.system.Model``)."""

    def __init__(self, weights: str, options: TinyOptions, size: FrameSize) -> None:
        self.options, self.size = options, size
        self.net = Net(options).eval()
        if weights.startswith("random:"):
            generator = torch.Generator().manual_seed(int(weights.removeprefix("random:")))
            for tensor in self.net.parameters():
                nn.init.normal_(tensor, std=0.3, generator=generator)
        else:
            from safetensors.torch import load_file

            try:
                self.net.load_state_dict(load_file(weights))
            except RuntimeError as error:
                raise ModelError("V2V-E6901", str(error), "the keys of the two convolutions") from error

    def program(self) -> Program:
        frame = FrameSpec(self.size.height, self.size.width)
        picture = Call(
            "picture",
            "picture",
            {"frame": "frame", "memory": "memory", "gain": "gain"},
            {"out": "out", "ok": None},
            check=("ok",),
        )
        interval = self.options.interval
        feature = Call(
            "feature",
            "feature",
            {"frame": "frame"},
            {"memory": "memory", "ok": None},
            when=Every(interval, (interval - 1,)),
            late=True,
            check=("ok",),
        )
        return Program(
            inputs={"frame": frame},
            outputs={"frame": frame},
            slots={"memory": Slot("float", self._memory.shape)},
            params={"gain": Param("float32", (1,), BlobRef("blobs/tiny.safetensors", "gain"))},
            phases=(Phase("stream", "forever", (picture, feature), emit=Emit("out")),),
            max_frames=1,
        )

    def blobs(self) -> Mapping[str, Mapping[str, NDArray[Any]]]:
        return {"blobs/tiny.safetensors": {"gain": np.ones(1, np.float32)}}

    def graphs(self, options: GraphOptions) -> Sequence[GraphSpec]:
        net = Net(self.options).eval()
        net.load_state_dict(self.net.state_dict())
        net.to(options.dtype)
        frame = TensorSpec("uint8", (1, self.size.height, self.size.width, 3))
        ok = TensorSpec("bool", (1,))
        picture = TensorSpec("float32", (1, 3, self.size.height, self.size.width))
        blend = options.lowering.get("blend", "sum")
        return [
            GraphSpec(
                "picture",
                lambda: Picture(net, self.options, blend),
                {"frame": frame, "memory": self._memory, "gain": TensorSpec("float32", (1,))},
                {"out": frame, "ok": ok},
                {"out_float": picture},
            ),
            GraphSpec("feature", lambda: Feature(net), {"frame": frame}, {"memory": self._memory, "ok": ok}),
        ]

    def weight_counts(self) -> Mapping[str, int]:
        count = sum(tensor.numel() for tensor in self.net.encode.parameters())
        return {
            "picture": count + sum(tensor.numel() for tensor in self.net.decode.parameters()),
            "feature": count,
        }

    def overrides(self, options: GraphOptions) -> Mapping[str, CallOverride]:
        return {}

    def reference(self) -> TinyReference:
        return TinyReference(self)

    def teacher(self) -> None:
        return None

    @property
    def _memory(self) -> TensorSpec:
        return TensorSpec("float", (1, self.options.channels, self.size.height, self.size.width))


class TinyReference:
    """The literal stream (``v2v_export.system.Reference``)."""

    def __init__(self, model: TinyModel) -> None:
        self._model = model
        self.reset()

    def reset(self) -> None:
        self._step, self._memory = 0, torch.zeros(self._model._memory.shape)

    @torch.no_grad()
    def step(self, frames: NDArray[np.uint8]) -> Sequence[ReferenceFrame]:
        net, options = self._model.net, self._model.options
        x = torch.from_numpy(frames).float().permute(0, 3, 1, 2) / 127.5 - 1
        feature = net.encode(x)
        picture = getattr(torch, options.activation)(net.decode(feature + options.share * self._memory))
        if self._step % options.interval == options.interval - 1:
            self._memory = feature
        self._step += 1
        out = ((picture + 1) * 127.5).permute(0, 2, 3, 1).to(torch.uint8)
        return [ReferenceFrame(picture[0].numpy(), out[0].numpy())]

    def slots(self) -> Mapping[str, NDArray[Any]]:
        return {"memory": self._memory.numpy()}
