"""A small graph with all that a graph can have: bytes at both edges, state, a tap, an unused port."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from v2v_export.export.pipeline import export_graph
from v2v_export.export.taps import surface
from v2v_export.export.trace import examples
from v2v_export.system import GraphSpec
from v2v_runtime.manifest.model import TensorSpec

Float = Literal["float16", "float32"]


class Small(nn.Module):
    """frame, memory, step -> out, feature | picture."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Conv2d(3, 8, 3, padding=1)
        self.decode = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, frame: Tensor, memory: Tensor, step: Tensor) -> tuple[Tensor, ...]:
        x = frame.float().permute(0, 3, 1, 2) / 127.5 - 1
        feature = self.encode(x.to(memory.dtype)) + memory
        picture = torch.tanh(self.decode(feature).float())
        out = ((picture + 1) * 127.5).permute(0, 2, 3, 1).to(torch.uint8)
        return out, feature, picture


def small_spec(module: nn.Module, rows: int = 1, dynamic: bool = False) -> GraphSpec:
    """``Small``'s declaration for ``rows`` frames of 8 x 12."""
    ports = ("frame", "memory", "out", "feature", "picture")
    return GraphSpec(
        "small",
        lambda: module,
        {
            "frame": TensorSpec("uint8", (rows, 8, 12, 3)),
            "memory": TensorSpec("float", (rows, 8, 8, 12)),
            "step": TensorSpec("int64", (1,)),
        },
        {"out": TensorSpec("uint8", (rows, 8, 12, 3)), "feature": TensorSpec("float", (rows, 8, 8, 12))},
        {"picture": TensorSpec("float32", (rows, 3, 8, 12))},
        dynamic_rows=ports if dynamic else (),
    )


@pytest.fixture
def small() -> Small:
    torch.manual_seed(5)
    return Small().eval()


@pytest.fixture
def export(tmp_path: Path) -> Callable[..., Path]:
    """Exports a graph into a folder of its own."""

    def run(spec: GraphSpec, variant_float: Float = "float32", name: str = "g", **more: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        return export_graph(spec, variant_float, {}, folder, **more)

    return run


@pytest.fixture
def play() -> Callable[..., dict[str, NDArray[Any]]]:
    """Runs an exported graph through ONNX Runtime on its examples, taps surfaced."""

    def run(
        path: Path,
        spec: GraphSpec,
        variant_float: Float = "float32",
        rows: int | None = None,
        taps: Iterable[str] = (),
    ) -> dict[str, NDArray[Any]]:
        shown = path.with_name("shown.onnx")
        onnx.save_model(surface(onnx.load_model(path, load_external_data=False), taps), shown)
        session = onnxruntime.InferenceSession(str(shown), providers=["CPUExecutionProvider"])
        feeds = {name: tensor.numpy() for name, tensor in examples(spec, variant_float).items()}
        feeds = {name: value[:rows] if name in spec.dynamic_rows else value for name, value in feeds.items()}
        names = [*spec.outputs, *taps]
        return dict(zip(names, session.run(names, feeds), strict=True))

    return run
