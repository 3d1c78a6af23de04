"""The stream program of Shortcut-V2V (Algorithm 1) and of its teacher alone, as data.

The state is what a shortcut frame needs of the reference after the rewrites: ``z_r`` and ``z_f``, the reduced
reference features through the global kernel, and ``p_ref``, the reference's share of the global offsets. In
schedule ``shortcut`` the reference is rewritten by a late call, after the refreshing frame's picture has been
handed over: that picture depends on the old reference only, so the refresh costs no latency.
"""

from __future__ import annotations

from v2v_export.system import FrameSize
from v2v_export.systems.shortcut_v2v.options import ShortcutOptions
from v2v_runtime.manifest.model import (
    Call,
    Emit,
    Every,
    FrameSpec,
    Phase,
    Program,
    Slot,
    TensorSpec,
)

REFERENCE = ("z_r", "z_f", "p_ref")
"""The slots, and the ports of the same names."""


def frame_spec(size: FrameSize) -> TensorSpec:
    """The frame port: uint8 [1, H, W, 3]."""
    return TensorSpec("uint8", (1, size.height, size.width, 3))


def reference_specs(size: FrameSize, scale: int, h: int) -> dict[str, TensorSpec]:
    """Types of the reference state for features at 1/``scale`` of the frame's size, Hf x Wf.

    ``z_r`` and ``z_f`` [1, h, Hf/2 + 2, Wf/2 + 2], ``p_ref`` [1, h, Hf/2, Wf/2].
    """
    height, width = size.height // scale // 2, size.width // scale // 2
    plane = TensorSpec("float", (1, h, height + 2, width + 2))
    return {"z_r": plane, "z_f": plane, "p_ref": TensorSpec("float", (1, h, height, width))}


def teacher_program(size: FrameSize) -> Program:
    """The teacher on every frame: no state at all."""
    call = Call("teacher", "teacher", {"frame": "frame"}, {"out": "out", "ok": None}, check=("ok",))
    phase = Phase("stream", "forever", (call,), emit=Emit("out"))
    frame = FrameSpec(size.height, size.width)
    return Program({"frame": frame}, {"frame": frame}, (phase,), max_frames=1)


def stream_program(size: FrameSize, scale: int, h: int, options: ShortcutOptions) -> Program:
    """Phase ``first``, one full frame; then phase ``stream``, whose step s is frame s + 1."""
    interval = options.interval
    refreshing = Every(interval, (interval - 1,))
    calls: list[Call] = []
    if options.schedule == "shortcut":
        calls.append(_shortcut(None, "a"))
        refresh = {"a": "a"}, {**_written(), "ok": None}
        calls.append(Call("refresh", "refresh", *refresh, when=refreshing, late=True, check=("ok",)))
    else:
        if interval > 1:
            calls.append(_shortcut(Every(interval, tuple(range(interval - 1))), None))
        calls.append(_full(refreshing if interval > 1 else None))
    specs = reference_specs(size, scale, h)
    frame = FrameSpec(size.height, size.width)
    return Program(
        inputs={"frame": frame},
        outputs={"frame": frame},
        slots={name: Slot(spec.dtype, spec.shape) for name, spec in specs.items()},
        phases=(
            Phase("first", 1, (_full(None),), emit=Emit("out")),
            Phase("stream", "forever", tuple(calls), emit=Emit("out")),
        ),
        max_frames=1,
    )


def _written() -> dict[str, str]:
    return {name: name for name in REFERENCE}


def _full(when: Every | None) -> Call:
    outputs = {"out": "out", **_written(), "ok": None}
    return Call("full", "full", {"frame": "frame"}, outputs, when=when, check=("ok",))


def _shortcut(when: Every | None, a: str | None) -> Call:
    inputs = {"frame": "frame", **_written()}
    outputs: dict[str, str | None] = {"out": "out", "ok": None}
    if a is not None:
        outputs["a"] = a
    return Call("shortcut", "shortcut", inputs, outputs, when=when, check=("ok",))
