"""The program at the real size, from configurations alone: nothing is drawn or read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from v2v_export.diffusion.configs import architecture, parameters
from v2v_export.explain.state import Sizes, count_state
from v2v_export.system import FrameSize, GraphOptions
from v2v_export.systems.live2diff.options import Live2DiffOptions
from v2v_export.systems.live2diff.stream import Live2DiffModel
from v2v_runtime.manifest.model import Binding, Graph, Program, Variant, View
from v2v_runtime.remembered import remembering

WEIGHTS = dict.fromkeys(("base", "live2diff", "depth", "vae"), "random:0")
INDICES = {1: (35,), 2: (30, 40), 3: (30, 36, 42), 4: (25, 31, 37, 43)}
HALF = 2
MIB = 1 << 20


def model(rows: int, size: FrameSize = FrameSize(512, 512), **more: Any) -> Live2DiffModel:
    options = Live2DiffOptions(rows=rows, t_index_list=INDICES[rows], prompt="embeddings", **more)
    return Live2DiffModel.load(WEIGHTS, options, size)


def half_bytes(program: Program, prefix: str) -> int:
    return sum(
        HALF * math.prod(slot.shape) for name, slot in program.slots.items() if name.startswith(prefix)
    )


@pytest.mark.parametrize(
    ("rows", "size", "per_row"),
    [
        (1, FrameSize(512, 512), 1450),
        (2, FrameSize(512, 512), 1450),
        (4, FrameSize(512, 512), 1450),
        (2, FrameSize(512, 768), 2175),
        (2, FrameSize(256, 256), 362.5),
    ],
)
def test_state_is_the_published_size_half_of_it_sinks(rows: int, size: FrameSize, per_row: float) -> None:
    program = model(rows, size).program()
    assert half_bytes(program, "sink_") == half_bytes(program, "ring_") == rows * per_row / 2 * MIB


@pytest.mark.parametrize("cache", ["delta", "in_place"])
def test_caches_are_single(cache: str) -> None:
    """Sinks and rings are bound in place: neither is held twice."""
    program = model(2, cache=cache).program()
    warmup, stream = program.phases
    in_place = {
        binding.name if isinstance(binding, View) else binding
        for call in (*warmup.calls, *stream.calls)
        for port, binding in call.outputs.items()
        if port in call.in_place
    }
    assert in_place == {name for name in program.slots if name.startswith(("sink_", "ring_"))}


def test_updated_rings_are_one_view_on_both_sides_and_as_large() -> None:
    plain, program = model(2).program(), model(2, cache="in_place").program()
    (step,) = (call for call in program.phases[1].calls if call.name == "unet_step")
    given = {binding for port, binding in step.inputs.items() if port.startswith("ring_")}
    assert {step.outputs[port] for port in step.in_place} == given
    assert given == {View(f"ring_{index:02d}", 0, 1) for index in range(40)}
    assert half_bytes(program, "ring_") == half_bytes(plain, "ring_")


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_each_warm_up_call_writes_its_row(rows: int) -> None:
    program = model(rows).program()
    warmup, stream = program.phases
    calls = [call for call in warmup.calls if call.graph == "unet_warmup"]
    assert len(calls) == rows
    for row, call in enumerate(calls):
        assert call.outputs["warm_00"] == View("sink_00", row, 1)
        assert call.inputs["timestep"] == View("timesteps", row, 1)
    assert stream.emit is not None
    assert stream.emit.drop_first == rows - 1
    assert (warmup.gather, warmup.steps, program.max_frames) == (8, 1, 8)


def traffic(made: Live2DiffModel) -> float:
    """State that a step moves, in sizes of the caches: all that its ports are bound to, by the graph's own
    shapes, and both sides of what a commit copies."""
    program = made.program()
    graphs = {spec.name: Graph(spec.inputs, spec.outputs) for spec in made.graphs(GraphOptions("float16"))}
    state, size = count_state(program, graphs, Variant("float16", {})), Sizes("float16")
    assert not [name for name in {**state.second, **state.staged} if name.startswith(("sink_", "ring_"))]
    (step,) = (call for call in program.phases[1].calls if call.graph == "unet_step")
    outputs = graphs["unet_step"].outputs
    read = sum(state.slots.get(named(binding), 0) for binding in step.inputs.values())
    written = sum(
        size(outputs[port].dtype, outputs[port].shape)
        for port, binding in step.outputs.items()
        if binding is not None and named(binding) in state.slots
    )
    caches = half_bytes(program, "sink_") + half_bytes(program, "ring_")
    return (read + written + 2 * sum(state.staged.values())) / caches


def named(binding: Binding) -> str:
    return binding.name if isinstance(binding, View) else binding


def test_traffic_of_a_frame_is_little_more_than_the_caches() -> None:
    """Read once, 1/16 of it written, and what else rides along; at most 1.2 times the caches are allowed. A
    step that gives whole rings writes half of the caches, and is past that."""
    assert 1 + 1 / 16 <= traffic(model(2)) <= 1 + 1 / 16 + 0.005
    assert 1.5 <= traffic(model(2, cache="in_place")) <= 1.505


def test_weights_are_counted_without_reading_them() -> None:
    counts = model(2).weight_counts()
    # The method counts 1277.75 M: SD1.5 859.52 M, temporal 417.14 M, depth encoder 1.087 M.
    assert counts["unet_step"] == counts["unet_warmup"]
    # Of these cross_kv has keys and values: 768 to the widths of 16 cross-attentions, 12480 together, twice.
    assert counts["cross_kv"] == 2 * 768 * 12480
    assert counts["unet_step"] == pytest.approx(859.52e6 + 417.14e6 - counts["cross_kv"], rel=1e-4)
    taesd = parameters(architecture("taesd"))
    assert counts["encode"] + counts["decode"] - taesd == pytest.approx(1.087e6, rel=1e-3)
    assert counts["depth"] == pytest.approx(122.4e6, rel=1e-3)


def test_importing_the_system_needs_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, v2v_export.systems.live2diff; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_example_recipes_load() -> None:
    from v2v_export.recipe import load_recipe

    folder = Path(__file__).parents[3] / "examples" / "live2diff"
    for name in ("v2v.toml", "real.toml"):
        recipe = load_recipe(folder / name)
        assert recipe.system.name == "live2diff"
        recipe.system.load(recipe.weights, recipe.options, recipe.size).program()


def test_template_is_the_example() -> None:
    from v2v_export.systems.live2diff import SYSTEM

    example = Path(__file__).parents[3] / "examples" / "live2diff" / "v2v.toml"
    assert SYSTEM.template() == example.read_text("utf-8")


@pytest.mark.parametrize("cache", ["delta", "in_place"])
def test_the_warm_up_keeps_the_prompt_and_nothing_else(cache: str) -> None:
    """What the players tell of: sinks are made from the prompt, and no step of the stream writes them."""
    program = model(2, cache=cache, similarity=True).program()
    assert [phase.name for phase in remembering(program, {"prompt_embeds"})] == ["warmup"]
    assert remembering(program, set(program.params) - {"prompt_embeds"}) == ()
