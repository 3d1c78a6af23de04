"""Temporal attention, literal and as exported, against what the published modules computed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from golden_data import golden_tensors
from systems.live2diff.temporal_golden import RULES, golden_attention, golden_heads, ring_difference
from torch import Tensor, nn
from v2v_export.export.pipeline import export_graph
from v2v_export.system import GraphSpec
from v2v_export.systems.live2diff.errors import WeightsError
from v2v_export.systems.live2diff.reference_temporal import LiteralAttention, positions
from v2v_export.systems.live2diff.ring_clock import ring_clock
from v2v_export.systems.live2diff.temporal import sinusoid, without_positions
from v2v_export.systems.live2diff.temporal_step import InPlaceAttention, StepAttention
from v2v_export.systems.live2diff.temporal_warmup import WarmupAttention
from v2v_runtime.manifest.model import TensorSpec

OUTPUT, CACHE = 1e-5, 1e-4
"""The golden set's limits in float32."""


@pytest.fixture(scope="module")
def given() -> dict[str, Tensor]:
    return golden_tensors("live2diff", "attention")


def difference(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max())


def apart(ring: Tensor, given: dict[str, Tensor], prefix: str) -> float:
    """Of our ring [8, T, HW, 2, heads, d] after all steps from the published cache."""
    cache = given[prefix + "final_kv_cache"][:, :, :, 8:]
    return ring_difference(ring.flatten(-2), cache, given[prefix + "update_idx"])


@pytest.fixture(scope="module")
def sinks(given: dict[str, Tensor]) -> Tensor:
    """Of the graph's warm-up, [T, 8, HW, 2, heads, d], whose outputs are compared on the way."""
    warmup = WarmupAttention(golden_attention(), torch.float32)
    rows = []
    with torch.no_grad():
        for row in range(len(given["warm.input"])):
            found, entry = warmup(given["warm.input"][row])
            assert difference(found, given["warm.output"][row]) <= OUTPUT
            rows.append(entry)
    return torch.cat(rows)


def test_sinks_hold_keys_and_values_at_their_positions(given: dict[str, Tensor], sinks: Tensor) -> None:
    raw = given["warm.kv_cache"][:, :, :, :8].permute(0, 3, 2, 1, 4)  # [T, 8, HW, 2, C]
    pe = given["weights.pos_encoder.pe"][0, :8]
    moves = torch.stack([pe @ given[f"weights.to_{which}.weight"].T for which in "kv"], dim=1)
    assert difference(sinks.flatten(-2), raw + moves[:, None]) <= CACHE


@pytest.mark.parametrize("rule", RULES)
def test_literal(given: dict[str, Tensor], rule: str) -> None:
    official, prefix = rule == "official", RULES[rule] + "stream."
    literal = LiteralAttention(golden_attention(), len(given["warm.input"]), official_startup=official)
    with torch.no_grad():
        for row in range(len(given["warm.input"])):
            assert (
                difference(literal.warmup(row, given["warm.input"][row]), given["warm.output"][row]) <= OUTPUT
            )
        for step, x in enumerate(given["stream.input"]):
            valid = given["row_valid"][step]
            found = literal.step(step, x)
            assert difference(found[valid], given[prefix + "output"][step][valid]) <= OUTPUT, step
        steps = len(given["stream.input"])
        assert apart(literal.rings(steps), given, prefix) <= CACHE


class Step(nn.Module):
    """What is exported: one attention with its clock."""

    def __init__(self, official: bool, form: type[StepAttention] = StepAttention) -> None:
        super().__init__()
        self.attention = form(golden_attention(), torch.float32)
        self.official = official

    def forward(self, y: Tensor, sinks: Tensor, ring: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        clock = ring_clock(step, y.shape[0], official_startup=self.official)
        result: tuple[Tensor, Tensor] = self.attention(y, (sinks, ring), clock)
        return result


def session(spec: GraphSpec, folder: Path, window: str) -> onnxruntime.InferenceSession:
    path = export_graph(spec, "float32", {"window": window}, folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("rule", "window"), [("corrected", "unrolled"), ("official", "stacked"), ("corrected", "matmul")]
)
def test_exported_step(
    given: dict[str, Tensor], sinks: Tensor, tmp_path: Path, rule: str, window: str
) -> None:
    """In the delta form, with NaN in the entry that each step is about to overwrite."""
    official, prefix = rule == "official", RULES[rule] + "stream."
    steps, rows, places, channels = given["stream.input"].shape
    token = (places, 2, golden_heads(), channels // golden_heads())
    spec = GraphSpec(
        "step",
        lambda: Step(official),
        {
            "y": TensorSpec("float32", (rows, places, channels)),
            "sinks": TensorSpec("float32", (rows, 8, *token)),
            "ring": TensorSpec("float32", (8, rows, *token)),
            "step": TensorSpec("int64", (1,)),
        },
        {
            "out": TensorSpec("float32", (rows, places, channels)),
            "new": TensorSpec("float32", (1, rows, *token)),
        },
    )
    engine = session(spec, tmp_path, window)
    ring = np.zeros((8, rows, *token), np.float32)
    for step in range(steps):
        ring[step % 8] = np.nan
        feeds = {"y": given["stream.input"][step].numpy(), "sinks": sinks.numpy(), "ring": ring}
        out, new = engine.run(None, {**feeds, "step": np.array([step])})
        ring[step % 8] = new[0]
        valid = given["row_valid"][step]
        made, wanted = torch.from_numpy(out)[valid], given[prefix + "output"][step][valid]
        assert difference(made, wanted) <= OUTPUT, step
    assert apart(torch.from_numpy(ring), given, prefix) <= CACHE


def test_exported_step_that_updates_its_ring(given: dict[str, Tensor], sinks: Tensor, tmp_path: Path) -> None:
    """The in-place form, its ring bound to one memory on both sides, NaN in the entry about to be written."""
    prefix = RULES["corrected"] + "stream."
    steps, rows, places, channels = given["stream.input"].shape
    token = (places, 2, golden_heads(), channels // golden_heads())
    cache = TensorSpec("float32", (1, 1, 8, rows * math.prod(token)))
    picture = TensorSpec("float32", (rows, places, channels))
    inputs = {
        "y": picture,
        "sinks": TensorSpec("float32", (rows, 8, *token)),
        "ring": cache,
        "step": TensorSpec("int64", (1,)),
    }
    spec = GraphSpec(
        "step", lambda: Step(False, InPlaceAttention), inputs, {"out": picture, "new": cache}, opset=24
    )
    engine = session(spec, tmp_path, "unrolled")
    (file,) = tmp_path.glob("*.onnx")
    assert "TensorScatter" in {node.op_type for node in onnx.load(file).graph.node}
    ring = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(cache.shape, np.float32))
    for step in range(steps):
        view = ring.numpy()
        view[:, :, step % 8] = np.nan
        ring.update_inplace(view)
        binding = engine.io_binding()
        binding.bind_cpu_input("y", given["stream.input"][step].numpy())
        binding.bind_cpu_input("sinks", sinks.numpy())
        binding.bind_cpu_input("step", np.array([step]))
        binding.bind_ortvalue_input("ring", ring)
        binding.bind_ortvalue_output("new", ring)
        binding.bind_output("out")
        engine.run_with_iobinding(binding)
        (out,) = (item.numpy() for item in binding.get_outputs() if item.shape() == list(picture.shape))
        valid = given["row_valid"][step]
        made, wanted = torch.from_numpy(out)[valid], given[prefix + "output"][step][valid]
        assert difference(made, wanted) <= OUTPUT, step
    kept = torch.from_numpy(ring.numpy().reshape(8, rows, *token))
    assert apart(kept, given, prefix) <= CACHE


def test_positions_are_the_published_table(given: dict[str, Tensor]) -> None:
    table = given["weights.pos_encoder.pe"][0]
    # Published code computed the angles in float32: up to 23 radians, one rounding each.
    assert difference(sinusoid(table.shape[1]), table) <= 3e-6
    assert difference(positions(table.shape[1]), table[:16]) <= 3e-6


def test_another_table_of_positions_is_refused(given: dict[str, Tensor]) -> None:
    table = given["weights.pos_encoder.pe"]
    learned = {"block.pos_encoder.pe": table + 0.01 * torch.ones_like(table), "block.to_q.weight": table}
    with pytest.raises(WeightsError, match=r"V2V-E6250.*block\.pos_encoder\.pe"):
        without_positions(learned)
    halved = {"block.pos_encoder.pe": table.half(), "block.to_q.weight": table}
    assert set(without_positions(halved)) == {"block.to_q.weight"}
