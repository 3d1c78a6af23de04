"""The stream program of STD, as data: a loop over the steps, or a batch of frames in flight.

``loop``: N calls of one graph in every step, each with its own row of the tables, so a frame comes out in the
step that it went in. ``batched``: one call on N rows, and the slot ``waiting`` holds the N - 1 latents that
are on their way; the first N - 1 pictures come from its zeros and are dropped. Both take a frame along the
same path: all frames start from one noise, and no step adds any.
"""

from __future__ import annotations

from v2v_export.diffusion.geometry import latent_spec
from v2v_export.diffusion.prompting import PromptPieces
from v2v_export.diffusion.stream_ends import decode_call, encode_call
from v2v_export.system import FrameSize
from v2v_runtime.manifest.model import (
    Binding,
    BlobRef,
    Call,
    Const,
    Emit,
    FrameSpec,
    Param,
    Phase,
    Program,
    Slot,
    TensorSpec,
    View,
)

TABLES = "blobs/tables.safetensors"
"""The consts below, and the default of ``guidance``."""


def const_specs(size: FrameSize, steps: int) -> dict[str, TensorSpec]:
    """``start`` (s0, s1), ``noise``, and each step's ``timesteps``, ``a`` and ``b``: tables of N steps."""
    return {
        "start": TensorSpec("float32", (2,)),
        "noise": latent_spec(size, 1),
        "timesteps": TensorSpec("int64", (steps,)),
        "a": TensorSpec("float32", (steps,)),
        "b": TensorSpec("float32", (steps,)),
    }


def stream_program(size: FrameSize, steps: int, batched: bool, prompt: PromptPieces) -> Program:
    """One phase. Without a second step in flight a batch is a loop of one."""
    consts = const_specs(size, steps)
    in_flight = steps - 1 if batched else 0
    guidance = TensorSpec("float32", (1,))
    frame = FrameSpec(size.height, size.width)
    waiting = latent_spec(size, in_flight)
    return Program(
        inputs={"frame": frame},
        outputs={"frame": frame},
        phases=(
            Phase(
                "stream",
                "forever",
                (
                    *prompt.calls,
                    encode_call("noise", "x_0"),
                    *(_batch(steps, prompt) if in_flight else _loop(steps, prompt)),
                    decode_call(f"x_{steps}"),
                ),
                emit=Emit("out", drop_first=in_flight),
            ),
        ),
        max_frames=1,
        slots={
            **prompt.slots,
            **({"waiting": Slot(waiting.dtype, waiting.shape)} if in_flight else {}),
        },
        params={
            **prompt.params,
            "guidance": Param(guidance.dtype, guidance.shape, BlobRef(TABLES, "guidance")),
        },
        consts={
            **prompt.consts,
            **{name: Const(spec.dtype, spec.shape, BlobRef(TABLES, name)) for name, spec in consts.items()},
        },
    )


def _loop(steps: int, prompt: PromptPieces) -> list[Call]:
    """N calls: step k takes ``x_k`` to ``x_(k + 1)`` with row k of the tables."""
    return [
        Call(
            f"step_{k}",
            "denoise",
            {"x": f"x_{k}", **_told({name: View(name, k, 1) for name in ("timesteps", "a", "b")}, prompt)},
            {"x_next": f"x_{k + 1}", "ok": None},
            check=("ok",),
        )
        for k in range(steps)
    ]


def _batch(steps: int, prompt: PromptPieces) -> list[Call]:
    """One call with the whole tables: row k of the batch takes step k."""
    tables: dict[str, Binding] = {name: name for name in ("timesteps", "a", "b")}
    return [
        Call(
            "denoise",
            "denoise",
            {"x_new": "x_0", "waiting": "waiting", **_told(tables, prompt)},
            {"clean": f"x_{steps}", "new_waiting": "waiting", "ok": None},
            check=("ok",),
        )
    ]


def _told(tables: dict[str, Binding], prompt: PromptPieces) -> dict[str, Binding]:
    return {**tables, "guidance": "guidance", **{name: name for name in prompt.cross}}
