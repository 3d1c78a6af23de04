"""State, memory estimate, refusal and roofline, against arithmetic by hand."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto
from rich.console import Console
from support.onnx_nets import node, save_net
from v2v_export.errors import RecipeError
from v2v_export.explain import (
    EngineBytes,
    check_memory,
    count_state,
    estimate_memory,
    explain,
    least_memory,
)
from v2v_export.explain.table import print_memory, report_table
from v2v_export.profiles import Figure, Profile, load_profile
from v2v_runtime.manifest.model import (
    BlobRef,
    Call,
    Changed,
    Const,
    Emit,
    Every,
    FrameSpec,
    Graph,
    Param,
    Phase,
    Program,
    Ring,
    Slot,
    TensorSpec,
    Variant,
    View,
)

FRAME = FrameSpec(4, 8)
PICTURE = TensorSpec("uint8", (1, 4, 8, 3))
BLOB = BlobRef("blobs/a.safetensors", "a")

#: first: writes the slots; step: whole slot, ring entry and a view; text: only when its param changed.
GRAPHS = {
    "first": Graph(
        {"frame": PICTURE}, {"out": PICTURE, "f": TensorSpec("float", (1, 100))}, resident="phase"
    ),
    "step": Graph(
        {"frame": PICTURE},
        {
            "out": PICTURE,
            "f": TensorSpec("float", (1, 100)),
            "k": TensorSpec("float", (1, 10)),
            "s": TensorSpec("float", (2, 20)),
            "t": TensorSpec("float", (1, 7)),
        },
    ),
    "text": Graph({"p": TensorSpec("float32", (5,))}, {"e": TensorSpec("float", (30,))}),
    "late": Graph({"t": TensorSpec("float", (1, 7))}, {"k": TensorSpec("float", (1, 10))}),
}
PROGRAM = Program(
    inputs={"frame": FRAME},
    outputs={"frame": FRAME},
    slots={
        "feature": Slot("float", (1, 100)),
        "ring": Slot("float", (8, 10), ring=Ring(8)),
        "sink": Slot("float", (6, 20)),
        "text": Slot("float", (30,)),
        "fixed": Slot("float", (8, 10), ring=Ring(8)),
    },
    params={"prompt": Param("float32", (5,), BLOB)},
    consts={"table": Const("int64", (9,), BLOB)},
    phases=(
        Phase(
            "first",
            1,
            (Call("first", "first", {"frame": "frame"}, {"out": "out", "f": "feature"}),),
            emit=Emit("out"),
        ),
        Phase(
            "stream",
            "forever",
            (
                Call("text", "text", {"p": "prompt"}, {"e": "text"}, when=Changed(("prompt",))),
                Call(
                    "step",
                    "step",
                    {"frame": "frame"},
                    {"out": "out", "f": "feature", "k": "ring", "s": View("sink", 2, 2), "t": "t"},
                ),
                Call(
                    "late",
                    "late",
                    {"t": "t"},
                    {"k": "fixed"},
                    when=Every(4, (1, 3)),
                    late=True,
                    in_place=("k",),
                ),
            ),
            gather=2,
            emit=Emit("out"),
        ),
    ),
    max_frames=1,
)
VARIANT = Variant("float16", {})


def test_state_bytes() -> None:
    state = count_state(PROGRAM, GRAPHS, VARIANT)
    assert state.slots == {"feature": 200, "ring": 160, "sink": 240, "text": 60, "fixed": 160}
    assert state.second == {"feature": 200, "text": 60}  # written whole
    assert state.staged == {"ring": 20, "sink": 80}  # one entry; two rows; the in-place one needs nothing
    assert state.state == 820 + 260 + 100
    assert (state.params, state.consts) == (20, 72)
    assert state.lasting == 1180 + 92
    # One gathered frame is 96 bytes: first holds it and out; stream two of them, out and t.
    assert state.temporaries == {"first": 96 + 96, "stream": 2 * 96 + 96 + 14}


def test_float32_doubles_the_floats_only() -> None:
    state = count_state(PROGRAM, GRAPHS, replace(VARIANT, float="float32"))
    assert state.slots["feature"] == 400
    assert (state.params, state.consts) == (20, 72)


ENGINES = {
    "first": EngineBytes(weights=5 << 30, activations=1 << 30),
    "step": EngineBytes(weights=2 << 30, activations=3 << 30),
    "text": EngineBytes(weights=1 << 30, activations=0),
    "late": EngineBytes(weights=1 << 20, activations=0),
}


def test_memory_counts_engines_by_phase() -> None:
    profile = load_profile("rtx4090")
    memory = estimate_memory(PROGRAM, GRAPHS, count_state(PROGRAM, GRAPHS, VARIANT), ENGINES, profile)
    first, stream = memory.phases["first"], memory.phases["stream"]
    assert first.graphs == ("first", "late", "step", "text")
    assert stream.graphs == ("late", "step", "text")  # "first" is resident in its phase only
    assert (first.weights, first.activations) == ((8 << 30) + (1 << 20), 4 << 30)
    assert (stream.weights, stream.activations) == ((3 << 30) + (1 << 20), 3 << 30)
    assert memory.worst == "first"
    assert memory.total == 1272 + (12 << 30) + (1 << 20) + 192
    assert memory.available == 23 << 30  # 24 GiB less 1
    check_memory(memory, profile)


def test_what_does_not_fit_is_refused_with_its_levers() -> None:
    profile = load_profile("rtx3060")
    memory = estimate_memory(PROGRAM, GRAPHS, count_state(PROGRAM, GRAPHS, VARIANT), ENGINES, profile)
    with pytest.raises(RecipeError) as caught:
        check_memory(memory, profile, {"weights": ["small = true"], "state": ["rows lower"]})
    error = caught.value
    assert error.code == "V2V-E5201"
    assert "12.00 GiB on rtx3060 in phase 'first'" in error.seen
    assert "weights 8.00 GiB, activations 4.00 GiB" in error.seen
    assert "11.00 GiB: 12 GiB, less 1 GiB" in error.expected
    assert error.fix.index("weights") < error.fix.index("activations")
    # 3 GiB of weights and 3 GiB of scratch: what the first phase alone loads is not there.
    assert "phase 'stream' would fit (6.00 GiB)" in error.seen
    assert "weights: small = true;" in error.fix
    assert "activations: a smaller frame: height and width under [frame];" in error.fix
    assert "rows" not in error.fix, "1272 bytes of state are not what is in the way"
    assert "precision" not in error.fix, "it is half already"
    assert "rtx4080" in error.fix  # the smallest boards with room come first
    assert "rtx3060," not in error.fix


def test_the_limit_itself_fits() -> None:
    profile = load_profile("rtx3060")
    memory = estimate_memory(PROGRAM, GRAPHS, count_state(PROGRAM, GRAPHS, VARIANT), ENGINES, profile)
    check_memory(replace(memory, available=memory.total), profile)
    with pytest.raises(RecipeError):
        check_memory(replace(memory, available=memory.total - 1), profile)


def test_a_profile_of_one_s_own_may_ask_for_full_precision() -> None:
    profile = replace(load_profile("rtx3060"), name="mine", precision="fp32")
    memory = estimate_memory(PROGRAM, GRAPHS, count_state(PROGRAM, GRAPHS, VARIANT), ENGINES, profile)
    with pytest.raises(RecipeError, match='precision = "fp16" in the profile'):
        check_memory(memory, profile)


def test_what_is_not_known_before_a_build_is_told_as_that() -> None:
    counts = {"first": 3 << 30, "step": 2 << 30, "text": 1, "late": 1}  # numbers of 2 bytes
    profile = load_profile("rtx3060")
    memory = least_memory(PROGRAM, GRAPHS, counts, VARIANT, profile)
    first, stream = memory.phases["first"], memory.phases["stream"]
    assert first.activations is stream.activations is None
    assert first.total == (10 << 30) + 4 + 192
    check_memory(memory, profile)
    with pytest.raises(RecipeError) as caught:
        check_memory(replace(memory, available=8 << 30), profile)
    assert "at least 10.00 GiB on rtx3060 in phase 'first': weights 10.00 GiB, state" in caught.value.seen
    assert "activations, which are not known before it is built" in caught.value.seen
    assert "activations 0" not in caught.value.seen
    assert "phase 'stream' would fit without activations (4.00 GiB)" in caught.value.seen
    assert "activations" not in caught.value.fix


def test_the_table_of_what_is_known_before_a_build() -> None:
    counts = {"first": 3 << 30, "step": 2 << 30, "text": 1, "late": 1}
    profile = load_profile("rtx3060")
    memory = replace(least_memory(PROGRAM, GRAPHS, counts, VARIANT, profile), available=8 << 30)
    text = io.StringIO()
    print_memory(Console(width=80, file=text), memory, profile, "float16")
    heading, columns, first, stream, there = text.getvalue().splitlines()[:5]
    assert profile.title in heading
    assert columns.split()[:5] == ["phase", "weights", "temporaries", "state", "together"]
    assert first.strip().split(maxsplit=5) == [
        "first", "10.00", "0.00", "0.00", "10.00", "does not fit: 2.00 GiB too much",
    ]  # fmt: skip
    assert stream.split() == ["stream", "4.00", "0.00", "0.00", "4.00", "4.00", "GiB"]
    assert "GiB at the least" in heading
    assert there.startswith("8.00 GiB are there: 12 less 1 for")


def test_what_is_small_is_told_in_mib() -> None:
    """Tiny networks for trials, which would all be 0.00 GiB."""
    counts = {"first": 3 << 19, "step": 2 << 20, "text": 1, "late": 1}  # numbers of 2 bytes
    profile = load_profile("rtx3060")
    text = io.StringIO()
    memory = least_memory(PROGRAM, GRAPHS, counts, VARIANT, profile)
    print_memory(Console(width=80, file=text), memory, profile, "float16")
    heading, _, first, stream, *_ = text.getvalue().splitlines()
    assert "MiB at the least" in heading
    assert first.split() == ["first", "7.0", "0.0", "0.0", "7.0", "10.99", "GiB"]
    assert stream.split() == ["stream", "4.0", "0.0", "0.0", "4.0", "11.00", "GiB"]


def _round_profile(**figures: float) -> Profile:
    made: dict[str, Any] = {name: Figure(value, "test") for name, value in figures.items()}
    return replace(load_profile("rtx4090"), **made)


def test_explain_adds_up(tmp_path: Path) -> None:
    # One float16 convolution of 64 x 64 channels over 100 x 100 pixels, 1x1: 40.96 M multiply-adds, 1.28 MB
    # in, 1.28 MB out, 8 kB of weights.
    net = save_net(
        tmp_path / "m.onnx",
        [node("Conv", "x w", "y")],
        {"x": [1, 64, 100, 100]},
        {"y": [1, 64, 100, 100]},
        {"w": [64, 64, 1, 1]},
        dtype=TensorProto.FLOAT16,
    )
    profile = _round_profile(
        fp16_tflops=8.192, fp16_fp32acc_tflops=4.096, fp32_tflops=1, bandwidth_gbs=2.568192
    )
    spec = TensorSpec("float", (1, 64, 100, 100))
    graphs = {"conv": Graph({"x": spec}, {"y": spec})}
    program = Program(
        inputs={"frame": FRAME},
        outputs={"frame": FRAME},
        phases=(
            Phase(
                "stream",
                "forever",
                (Call("conv", "conv", {"x": "s"}, {"y": "s"}, when=Every(3, (0, 2))),),
                gather=2,
            ),
        ),
        max_frames=1,
        slots={"s": Slot("float", (1, 64, 100, 100))},
    )
    report = explain(program, graphs, VARIANT, {"conv": net}, profile)
    time = report.graphs["conv"].time
    assert time.compute == pytest.approx(2 * 40.96e6 / 8.192e12 * 1e3)  # 10 us
    assert time.compute_fp32acc == pytest.approx(2 * time.compute)
    assert time.memory == pytest.approx(1.0)  # 2.568192 MB at as many GB/s
    assert (time.bound, time.best) == ("memory", time.memory)
    # Two of three steps run it, and each step takes two frames.
    assert report.graphs["conv"].runs_per_frame == pytest.approx(1 / 3)
    assert report.macs_per_frame == pytest.approx(40.96e6 / 3)
    assert report.best_ms_per_frame == pytest.approx(1 / 3)
    # An engine copies both ports channel last and keeps a workspace; node by node nothing lies between.
    engine = 2 * 1280000 + 8_192_000
    assert report.memory.total == 2 * 1280000 + 8192 + engine + 2 * 96
    other = explain(program, graphs, VARIANT, {"conv": net}, profile, backend="onnxruntime")
    assert other.memory.total == report.memory.total - engine
    assert not report.graphs["conv"].engine.exact

    data = json.loads(json.dumps(report.to_dict()))
    assert data["graphs"]["conv"]["macs"]["true"] == 40960000
    assert data["graphs"]["conv"]["time_ms"]["bound"] == "memory"
    assert data["state"]["state"] == 2 * 1280000
    text = io.StringIO()
    Console(width=80, file=text).print(report_table(report))
    (row,) = (line for line in text.getvalue().splitlines() if " conv " in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "conv", "0.333", "0.041", "0.041", "2.6", "2.6", "1.000", "memory",
    ]  # fmt: skip

    built = {"conv": {"weight_bytes": 9000, "activation_bytes": 5000}}
    exact = explain(program, graphs, VARIANT, {"conv": net}, profile, built)
    assert exact.graphs["conv"].engine == EngineBytes(9000, 5000, exact=True)
    assert exact.memory.total == 2 * 1280000 + 14000 + 2 * 96


def test_float32_islands_are_charged_at_their_own_rate(tmp_path: Path) -> None:
    net = save_net(
        tmp_path / "m.onnx",
        [node("Conv", "x w", "y")],
        {"x": [1, 8, 10, 10]},
        {"y": [1, 8, 10, 10]},
        {"w": [8, 8, 1, 1]},
    )
    spec = TensorSpec("float32", (1, 8, 10, 10))
    program = Program(
        {"frame": FRAME},
        {"frame": FRAME},
        (Phase("stream", "forever", (Call("c", "c", {"x": "s"}, {"y": "s"}),)),),
        1,
        slots={"s": Slot("float32", (1, 8, 10, 10))},
    )
    profile = _round_profile(fp16_tflops=100, fp16_fp32acc_tflops=50, fp32_tflops=0.0128, bandwidth_gbs=1)
    report = explain(program, {"c": Graph({"x": spec}, {"y": spec})}, VARIANT, {"c": net}, profile)
    assert report.graphs["c"].time.compute == pytest.approx(1e-3)  # 6400 multiply-adds at 12.8 GFLOP/s
    assert report.graphs["c"].time.compute_fp32acc == pytest.approx(1e-3)
