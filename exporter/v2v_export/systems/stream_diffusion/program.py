"""The stream program of StreamDiffusion, as data.

One phase. A frame becomes a noised latent, joins the T - 1 latents in flight in one UNet call, and the latent
that is done becomes a picture: T - 1 frames of delay, one UNet call per frame. The first T - 1 pictures come
from the empty buffer and are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from v2v_export.diffusion.geometry import latent_spec
from v2v_export.diffusion.prompting import PromptPieces
from v2v_export.diffusion.stream_ends import OK, decode_call, encode_call
from v2v_export.system import FrameSize
from v2v_export.systems.stream_diffusion.options import StreamDiffusionOptions
from v2v_runtime.manifest.model import (
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

if TYPE_CHECKING:
    from v2v_export.diffusion.similarity_pieces import FilterPieces

TABLES = "blobs/tables.safetensors"
"""Consts: coefficients, timesteps and noise; and the params' defaults."""


def state_specs(size: FrameSize, options: StreamDiffusionOptions) -> dict[str, TensorSpec]:
    """Slots that every step writes: ``x_buf``, latents in flight before their next step, newest first;
    ``stock``, the residual noise of every row. The step's outputs have ``new_`` before their names."""
    specs = {}
    if options.rows > 1:
        specs["x_buf"] = latent_spec(size, options.rows - 1)
    if options.residual:
        specs["stock"] = latent_spec(size, options.rows)
    return specs


def constant_specs(size: FrameSize, options: StreamDiffusionOptions) -> dict[str, TensorSpec]:
    """Consts of the machine; see ``tables.constants``."""
    rows = options.rows
    specs = {
        "start": TensorSpec("float32", (2,)),
        "init_noise": latent_spec(size, rows),
        "timesteps": TensorSpec("int64", (rows,)),
        "coefficients": TensorSpec("float32", (rows, 3)),
    }
    if options.residual:
        specs["stock_coefficients"] = TensorSpec("float32", (rows, 3))
    if options.velocity:
        specs["noise_coefficients"] = TensorSpec("float32", (rows, 2))
    return specs


def guidance_specs(options: StreamDiffusionOptions) -> dict[str, TensorSpec]:
    """Params of guidance that the cfg type has."""
    names = {"none": (), "full": ("guidance",)}.get(options.cfg, ("guidance", "delta"))
    return {name: TensorSpec("float32", (1,)) for name in names}


def step_inputs(
    size: FrameSize, options: StreamDiffusionOptions, conditioning: Mapping[str, TensorSpec]
) -> dict[str, TensorSpec]:
    """Ports of ``unet_step`` in the order of its ``forward``; each is bound to what has its name.

    Args:
        conditioning: k and v of every cross-attention layer, and ``added``.
    """
    states, consts = state_specs(size, options), constant_specs(size, options)
    known = {"x_new": latent_spec(size, 1), **states, **consts, **guidance_specs(options)}
    order = (
        "x_new",
        "x_buf",
        "init_noise",
        "timesteps",
        "coefficients",
        "guidance",
        "delta",
        "stock",
        "stock_coefficients",
        "noise_coefficients",
    )
    return {**{name: known[name] for name in order if name in known}, **conditioning}


def step_outputs(size: FrameSize, options: StreamDiffusionOptions) -> dict[str, TensorSpec]:
    """Ports that ``unet_step`` writes."""
    states = {f"new_{name}": spec for name, spec in state_specs(size, options).items()}
    return {**states, "clean": latent_spec(size, 1), **OK}


def stream_program(
    size: FrameSize,
    options: StreamDiffusionOptions,
    prompt: PromptPieces,
    similarity: FilterPieces | None = None,
) -> Program:
    """The program for frames of ``size``, with the pieces of the prompt and of the filter merged in."""
    states, constants = state_specs(size, options), constant_specs(size, options)
    inputs = step_inputs(size, options, prompt.cross)
    # The prompt's calls come before the filter's: a prompt that changes with a skipped frame is not lost.
    calls = (
        *prompt.calls,
        *([similarity.before] if similarity else []),
        encode_call(View("init_noise", 0, 1), "x_new"),
        Call(
            "unet_step",
            "unet_step",
            {name: name for name in inputs},
            {**{f"new_{name}": name for name in states}, "clean": "clean", "ok": None},
            check=("ok",),
        ),
        decode_call("clean"),
        *([similarity.after] if similarity else []),
    )
    params = {
        name: Param(spec.dtype, spec.shape, BlobRef(TABLES, name))
        for name, spec in guidance_specs(options).items()
    }
    consts = {name: Const(spec.dtype, spec.shape, BlobRef(TABLES, name)) for name, spec in constants.items()}
    slots = {name: Slot(spec.dtype, spec.shape) for name, spec in states.items()}
    skip = None
    if similarity is not None:
        skip = similarity.skip
        slots, params = {**slots, **similarity.slots}, {**params, **similarity.params}
        consts = {**consts, **similarity.consts}
    emit = Emit("out", drop_first=options.rows - 1)
    frame = FrameSpec(size.height, size.width)
    return Program(
        inputs={"frame": frame},
        outputs={"frame": frame},
        phases=(Phase("stream", "forever", calls, skip=skip, emit=emit),),
        max_frames=1,
        slots={**prompt.slots, **slots},
        params={**prompt.params, **params},
        consts={**prompt.consts, **consts},
    )
