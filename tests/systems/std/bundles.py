"""Bundles of narrow students for the CPU, and what the literal stream makes of the same frames."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from v2v_export.build import build
from v2v_export.build.parity import Parity, ParityRequest
from v2v_export.profiles import load_profile
from v2v_export.recipe import load_recipe
from v2v_export.store import Store
from v2v_export.system import FrameSize
from v2v_export.systems.std import SYSTEM
from v2v_export.systems.std.options import StdOptions
from v2v_export.systems.std.reference import ReferenceStream
from v2v_export.systems.std.stream import StdModel
from v2v_runtime import Bundle

SIZE = FrameSize(64, 64)
WEIGHTS = {"base": "random:0"}
OPTIONS = StdOptions(
    strength=0.75,
    steps=4,
    guidance=4.0,
    text="a watercolour",
    negative_text="blurry",
    architecture="tiny_sdxl",
    vae="tiny_taesd",
)

_RECIPE = """\
name = "case"
system = "std"
[frame]
height = 64
width = 64
[weights]
base = "random:0"
[options]
mode = "{mode}"
strength = 0.75
steps = 4
guidance = 4.0
text = "a watercolour"
negative_text = "blurry"
architecture = "tiny_sdxl"
vae = "tiny_taesd"
[verify]
frames = 0
"""


def bundle_of(folder: Path, store: Store, mode: str) -> Bundle:
    """Builds ``OPTIONS`` in a mode; parity is the tests' own business here."""
    recipe = folder / f"{mode}.toml"
    recipe.write_text(_RECIPE.format(mode=mode))

    def verified_by_the_test(request: ParityRequest) -> Parity:
        return Parity("built", {"note": "the test that built this compares it"})

    result = build(
        load_recipe(recipe, {"std": SYSTEM}),
        folder / f"{mode}.v2v",
        [load_profile("cpu")],
        store=store,
        verify=verified_by_the_test,
    )
    return Bundle.open(result.bundle)


def model_of(mode: Any, **options: Any) -> StdModel:
    """``OPTIONS`` in a mode, with some of them changed."""
    model = SYSTEM.load(WEIGHTS, replace(OPTIONS, mode=mode, **options), SIZE)
    assert isinstance(model, StdModel)
    return model


def literal_of(mode: Any, wide: bool = False, **options: Any) -> ReferenceStream:
    """The literal stream of ``OPTIONS``; in float64 if ``wide``."""
    stream = model_of(mode, **options).reference().stream
    if not wide:
        return stream
    made = ReferenceStream(
        copy.deepcopy(stream.unet).double(),
        copy.deepcopy(stream.vae).double(),
        stream.options,
        stream.conditioning,
        stream.noise,
    )
    assert made.noise.dtype == torch.float64
    return made


def levels_apart(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> int:
    return int(np.abs(left.astype(int) - right.astype(int)).max())


def apart(left: Any, right: Any) -> float:
    return float(np.abs(np.asarray(left, np.float64) - np.asarray(right, np.float64)).max())
