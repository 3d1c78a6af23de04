"""A toy model with everything that parity looks at, and faults that it must find.

A frame's feature is shown together with two planes that a late call refreshes every third frame (``memory``
mixes old and new, ``shade`` is the new one) and with the mean of the last three entries of a ring, which is
written in place.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from support.bundles import make_target
from torch import Tensor, nn
from v2v_export.build.selftest import FILE, play
from v2v_export.clip import moving_frames
from v2v_export.export.finite import all_finite
from v2v_export.export.pipeline import export_graph
from v2v_export.system import GraphOptions, GraphSpec, ReferenceFrame
from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import write_bundle, write_target
from v2v_runtime.manifest.model import (
    BUNDLE_SCHEMA,
    BlobRef,
    Call,
    CallOverride,
    Emit,
    Every,
    FrameSpec,
    Graph,
    Manifest,
    Phase,
    Program,
    Ring,
    SelfTest,
    Slot,
    Target,
    TensorSpec,
    Variant,
)

HEIGHT, WIDTH, CHANNELS, RING, INTERVAL = 8, 12, 3, 4, 3
DECAY = 0.9


class Weights(nn.Module):
    """Two convolutions with fixed random weights."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.encode = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.decode = nn.Conv2d(CHANNELS, 3, 3, padding=1)
        generator = torch.Generator().manual_seed(seed)
        for tensor in self.parameters():
            nn.init.normal_(tensor, std=0.3, generator=generator)


class Picture(nn.Module):
    """frame, memory, shade, past, count -> out, ok, a, entry | out_float."""

    def __init__(self, net: Weights, faults: frozenset[str]) -> None:
        super().__init__()
        self.net, self.faults = net, faults

    def forward(
        self, frame: Tensor, memory: Tensor, shade: Tensor, past: Tensor, count: Tensor
    ) -> tuple[Tensor, ...]:
        dtype = self.net.encode.weight.dtype
        x = frame.float().permute(0, 3, 1, 2) / 127.5 - 1
        if "channels" in self.faults:
            x = x.flip(1)
        a = self.net.encode(x.to(dtype))
        index = torch.arange(RING)
        keep = ((index < count) & (index != count % RING)).view(RING, 1, 1, 1)
        if "multiply" in self.faults:
            kept = past * keep.to(dtype)
        else:
            kept = torch.where(keep, past, torch.zeros_like(past))
        recent = kept.sum(0, keepdim=True) / keep.sum().clamp(min=1).to(dtype)
        y = torch.tanh(self.net.decode(a + 0.5 * memory + 0.25 * shade + recent).float())
        out = ((y + 1) * 127.5).permute(0, 2, 3, 1).to(torch.uint8)
        # The entry depends on what was read of the ring, so no backend can write it before it has read.
        return out, all_finite(y), a, y.mean((2, 3), keepdim=True).to(dtype), y


class Refresh(nn.Module):
    """a, memory -> new_memory, new_shade."""

    def __init__(self, keep: float) -> None:
        super().__init__()
        self.keep = keep

    def forward(self, a: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        return self.keep * memory + (1 - DECAY) * a, a * 1.0


class ToyModel:
    """See the module's docstring (``v2v_export.system.Model``).

    Args:
        faults: what is wrong with it. ``channels``: modules and graphs read BGR. ``slots``: the program mixes
            up two slots. ``drift``: memory keeps a little too much of what it holds. ``nan``: one weight.
            ``multiply``: the ring's entry is masked by multiplication. ``weight``: one weight of the module
            alone, so that the graph that was exported without this fault differs from it. ``seldom``: the
            refresh comes every fourth frame.
    """

    def __init__(self, *faults: str) -> None:
        self.faults = frozenset(faults)
        self.size = FrameSpec(HEIGHT, WIDTH)

    def program(self) -> Program:
        reads = {name: name for name in ("frame", "memory", "shade", "past")}
        picture = Call(
            "picture",
            "picture",
            {**reads, "count": "past.count"},
            {"out": "out", "ok": None, "a": "a", "entry": "past"},
            check=("ok",),
            in_place=("entry",),
        )
        new = {"new_memory": "memory", "new_shade": "shade"}
        if "slots" in self.faults:
            new = {"new_memory": "shade", "new_shade": "memory"}
        every = INTERVAL + ("seldom" in self.faults)
        refresh = Call(
            "refresh",
            "refresh",
            {"a": "a", "memory": "memory"},
            new,
            when=Every(every, (INTERVAL - 1,)),
            late=True,
        )
        first = Call("first_refresh", "refresh", {"a": "a", "memory": "memory"}, dict(new))
        plane = (1, CHANNELS, HEIGHT, WIDTH)
        return Program(
            inputs={"frame": self.size},
            outputs={"frame": self.size},
            slots={
                "memory": Slot("float", plane),
                "shade": Slot("float", plane),
                "past": Slot("float", (RING, CHANNELS, 1, 1), ring=Ring(RING)),
            },
            phases=(
                Phase("first", 1, (picture, first), emit=Emit("out")),
                Phase("stream", "forever", (picture, refresh), emit=Emit("out")),
            ),
            max_frames=1,
        )

    def blobs(self) -> Mapping[str, Mapping[str, NDArray[Any]]]:
        return {}

    def graphs(self, options: GraphOptions) -> Sequence[GraphSpec]:
        net = Weights().eval()
        if "nan" in self.faults:
            net.decode.weight.data[0, 0, 0, 0] = torch.nan
        if "weight" in self.faults:
            net.encode.weight.data[1, 2, 0, 1] += 0.01
        net.to(options.dtype)
        frame = TensorSpec("uint8", (1, HEIGHT, WIDTH, 3))
        plane = TensorSpec("float", (1, CHANNELS, HEIGHT, WIDTH))
        entry = TensorSpec("float", (1, CHANNELS, 1, 1))
        # Too much by two in ten thousand: nothing at once, something after a while.
        keep = DECAY * (1 + 2e-4) if "drift" in self.faults else DECAY
        return [
            GraphSpec(
                "picture",
                lambda: Picture(net, self.faults),
                {
                    "frame": frame,
                    "memory": plane,
                    "shade": plane,
                    "past": TensorSpec("float", (RING, CHANNELS, 1, 1)),
                    "count": TensorSpec("int64", (1,)),
                },
                {"out": frame, "ok": TensorSpec("bool", (1,)), "a": plane, "entry": entry},
                {"out_float": TensorSpec("float32", (1, 3, HEIGHT, WIDTH))},
                example={"count": torch.tensor([6])},
            ),
            GraphSpec(
                "refresh",
                lambda: Refresh(keep),
                {"a": plane, "memory": plane},
                {"new_memory": plane, "new_shade": plane},
            ),
        ]

    def weight_counts(self) -> Mapping[str, int]:
        return {"picture": 2 * (3 * CHANNELS * 9) + CHANNELS + 3, "refresh": 0}

    def overrides(self, options: GraphOptions) -> Mapping[str, CallOverride]:
        return {}

    def reference(self) -> ToyReference:
        return ToyReference()

    def teacher(self) -> None:
        return None


class ToyReference:
    """The literal stream, without any fault: lists and loops (``v2v_export.system.Reference``)."""

    def __init__(self) -> None:
        self._net = Weights().eval()
        self.reset()

    def reset(self) -> None:
        self._entries: list[Tensor] = []
        self._memory = self._shade = torch.zeros(1, CHANNELS, HEIGHT, WIDTH)

    @torch.no_grad()
    def step(self, frames: NDArray[np.uint8]) -> Sequence[ReferenceFrame]:
        a = self._net.encode(torch.from_numpy(frames.astype(np.float32)).permute(0, 3, 1, 2) / 127.5 - 1)
        last = self._entries[-(RING - 1) :] if len(self._entries) >= RING else self._entries
        recent = sum(last, torch.zeros(1, CHANNELS, 1, 1))
        mixed = a + 0.5 * self._memory + 0.25 * self._shade + recent / max(1, len(last))
        y = torch.tanh(self._net.decode(mixed))
        step = len(self._entries) - 1
        if step == -1 or step % INTERVAL == INTERVAL - 1:
            self._memory, self._shade = DECAY * self._memory + (1 - DECAY) * a, a
        self._entries.append(y.mean((2, 3), keepdim=True))
        return [
            ReferenceFrame(y[0].numpy(), ((y + 1) * 127.5).permute(0, 2, 3, 1)[0].to(torch.uint8).numpy())
        ]

    def slots(self) -> Mapping[str, NDArray[Any]]:
        if not self._entries:
            return {}
        past = np.zeros((RING, CHANNELS, 1, 1), np.float32)
        for index, entry in enumerate(self._entries):
            past[index % RING] = entry.numpy()[0]
        return {"memory": self._memory.numpy(), "shade": self._shade.numpy(), "past": past}


_CHANGES = {"picture": {"channels", "multiply", "nan"}, "refresh": {"drift"}}
_known: dict[tuple[str, str, frozenset[str]], dict[str, bytes]] = {}


def _exported(spec: GraphSpec, options: GraphOptions, faults: frozenset[str]) -> dict[str, bytes]:
    """File name -> bytes; exported once for all tests that need the same graph."""
    key = (spec.name, options.float, faults & _CHANGES[spec.name])
    if key not in _known:
        with tempfile.TemporaryDirectory() as folder:
            export_graph(spec, options.float, {}, Path(folder), spec.name)
            _known[key] = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    return _known[key]


def toy_bundle(
    root: Path,
    model: ToyModel,
    options: GraphOptions | None = None,
    target: Target | None = None,
    frames: int = 8,
) -> Bundle:
    """Exports ``model`` and writes a bundle with a self-test and one target (ONNX Runtime on the CPU)."""
    options = options or GraphOptions()
    specs = model.graphs(options)
    sources: dict[str, bytes | Path] = {}
    for spec in specs:
        for name, data in _exported(spec, options, model.faults).items():
            sources[f"graphs/{name}"] = data
    program = model.program()
    clip, made = play(model.reference(), program, moving_frames(frames, HEIGHT, WIDTH))
    manifest = Manifest(
        schema=BUNDLE_SCHEMA,
        name="toy",
        system="toy",
        identity="",
        files=(),
        graphs={spec.name: Graph(spec.inputs, spec.outputs) for spec in specs},
        variants={"main": Variant(options.float, {spec.name: f"graphs/{spec.name}.onnx" for spec in specs})},
        program=program,
        selftest=SelfTest(BlobRef(FILE, "input"), BlobRef(FILE, "output"), {"float32": 1, "float16": 3}),
        provenance={"variants": {"main": {"float": options.float, "lowering": {}}}},
    )
    write_bundle(root, manifest, graphs=sources, blobs={FILE: {"input": clip, "output": made}})
    write_target(root, target or make_target())
    return Bundle.open(root)
