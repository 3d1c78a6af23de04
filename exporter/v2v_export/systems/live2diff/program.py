"""The stream program of Live2Diff, as data (method, sections 3 and 4).

Phase ``warmup`` takes eight frames in one step: encodes them and their depth, runs the UNet once per
denoising step over all eight, and keeps each run's keys and values as one row of the sinks. Phase ``stream``
takes a frame: T latents, the new one and T - 1 on their way, go through one UNet call, whose new keys and
values each land in a ring's entry. The frame that comes out went in T - 1 steps earlier.

Sinks and ring entries are bound in place: the warm-up reads no sink, and the step selects the entry that it
is about to overwrite away from what it reads, so neither is held twice. With ``cache = "in_place"`` the step
updates whole rings: it rewrites the same entry itself, and hands the others through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from v2v_export.diffusion.prompting import PromptPieces
from v2v_export.diffusion.similarity_pieces import FilterPieces
from v2v_export.diffusion.stream_ends import decode_call
from v2v_export.systems.live2diff.layout import Layout
from v2v_export.systems.live2diff.options import RING_SLOTS, WARMUP_FRAMES
from v2v_runtime.manifest.model import (
    BlobRef,
    Call,
    Const,
    Emit,
    FrameSpec,
    Phase,
    Program,
    Ring,
    Slot,
    TensorSpec,
    View,
)

TABLES = "blobs/tables.safetensors"
"""The file of the consts."""

STATE = "blobs/state.safetensors"
"""The file of slots that do not start from zeros."""


def stream_program(layout: Layout, prompt: PromptPieces, similar: FilterPieces | None = None) -> Program:
    """The program of one stream.

    The sinks are no derived slots: they keep the keys and values of the prompt under which they were warmed
    up, until ``reset()`` or ``enter("warmup")``.
    """
    frame = FrameSpec(layout.size.height, layout.size.width)
    tables = {
        name: Const(spec.dtype, spec.shape, BlobRef(TABLES, name)) for name, spec in layout.tables.items()
    }
    return Program(
        inputs={"frame": frame},
        outputs={"frame": frame},
        slots={**prompt.slots, **_slots(layout), **(similar.slots if similar else {})},
        params={**prompt.params, **(similar.params if similar else {})},
        consts={**prompt.consts, **tables, **(similar.consts if similar else {})},
        phases=(_warmup(layout, prompt), _stream(layout, prompt, similar)),
        max_frames=WARMUP_FRAMES,
    )


def _slots(layout: Layout) -> dict[str, Slot]:
    slots = {name: Slot(spec.dtype, spec.shape) for name, spec in layout.sinks.items()}
    for name, spec in layout.rings.items():
        counted = None if layout.options.cache == "in_place" else Ring(RING_SLOTS)
        slots[name] = Slot(spec.dtype, spec.shape, ring=counted)
    for name, spec in layout.buffers.items():
        # A row without a frame has a depth latent of zeros, whose features are not zero.
        slots[name] = Slot(spec.dtype, spec.shape)
        if name == "cond_buffer":
            slots[name] = replace(slots[name], init=BlobRef(STATE, name))
    return slots


def _warmup(layout: Layout, prompt: PromptPieces) -> Phase:
    calls = [
        *prompt.calls,
        Call("depth", "warmup_depth", {"frame": "frame"}, {"depth": "depth"}),
        _encode("warmup_encode"),
        *(_denoise(layout, index) for index in range(layout.rows)),
        decode_call(f"x_{layout.rows}", "warmup_decode"),
    ]
    return Phase("warmup", 1, tuple(calls), gather=WARMUP_FRAMES, emit=Emit("out"))


def _denoise(layout: Layout, index: int) -> Call:
    """Warm-up call ``index``: one step of the sampler over eight frames, its K and V to row ``index``."""
    inputs: dict[str, str | View] = {
        "x": f"x_{index}",
        "cond": "cond",
        "timestep": View("timesteps", index, 1),
        "coefficients": View("coefficients", index, 1),
        "frame_index": "frame_index",
        **_same(layout.cross),
    }
    if layout.rows > 1:
        # The last call adds no noise: its coefficient is 0, whatever entry it is given.
        inputs["noise_step"] = View("noise_step", min(index, layout.rows - 2), 1)
    rows = dict(zip(layout.warm_rows, layout.sinks, strict=True))
    outputs: dict[str, str | View | None] = {"x_next": f"x_{index + 1}", "ok": None}
    outputs |= {port: View(sink, index, 1) for port, sink in rows.items()}
    return Call(
        f"denoise_{index}", "unet_warmup", inputs, outputs, check=("ok",), in_place=tuple(layout.warm_rows)
    )


def _stream(layout: Layout, prompt: PromptPieces, similar: FilterPieces | None) -> Phase:
    # The prompt's calls come before the filter's: a prompt that changes with a skipped frame is not lost.
    calls = (
        *prompt.calls,
        *((similar.before,) if similar else ()),
        Call("depth", "depth", {"frame": "frame"}, {"depth": "depth"}),
        _encode("encode"),
        _step(layout),
        decode_call("clean"),
        *((similar.after,) if similar else ()),
    )
    # Reset here and not in the warm-up: whichever way the phase is entered, its rows start without a frame.
    return Phase(
        "stream",
        "forever",
        calls,
        resets=(*layout.rings, *layout.buffers, *(similar.resets if similar else ())),
        skip=similar.skip if similar else None,
        emit=Emit("out", drop_first=layout.rows - 1),
    )


def _step(layout: Layout) -> Call:
    tables = ["timesteps", "coefficients", *(["noise_step"] if layout.rows > 1 else [])]
    state = {**layout.cross, **layout.sinks, **layout.rings}
    inputs: dict[str, str | View] = {
        "x": "x",
        "cond": "cond",
        **_same(layout.buffers),
        "step": "step",
        "frame_index": "frame_index",
        **{name: name for name in tables},
        **_same(state),
    }
    entries: dict[str, str | View] = dict(zip(layout.new_entries, layout.rings, strict=True))
    if layout.options.cache == "in_place":
        # One view on both sides: the graph updates it.
        entries = {port: View(ring, 0, 1) for port, ring in zip(entries, layout.rings, strict=True)}
        inputs.update(zip(layout.rings, entries.values(), strict=True))
    buffers = {f"{name}_next": name for name in layout.buffers}
    outputs: dict[str, str | View | None] = {"clean": "clean", "ok": None, **buffers, **entries}
    return Call("unet_step", "unet_step", inputs, outputs, check=("ok",), in_place=tuple(entries))


def _encode(graph: str) -> Call:
    inputs = {
        "frame": "frame",
        "depth": "depth",
        "start": "start",
        "noise_start": "noise_start",
        "frame_index": "frame_index",
    }
    x = "x_0" if graph == "warmup_encode" else "x"
    return Call("encode", graph, inputs, {"x": x, "cond": "cond", "ok": None}, check=("ok",))


def _same(specs: Mapping[str, TensorSpec]) -> dict[str, str]:
    return {name: name for name in specs}
