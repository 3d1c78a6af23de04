"""Live2Diff around a UNet of two levels: six temporal modules, every kind of layer once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from support.micro_bundles import MicroBundles
from support.small_networks import SMALL_SD
from v2v_export.build.variants import graph_options
from v2v_export.diffusion.networks import Network
from v2v_export.diffusion.random_weights import random_state
from v2v_export.diffusion.sources import ModuleSource
from v2v_export.profiles import load_profile
from v2v_export.system import FrameSize
from v2v_export.systems.live2diff import SYSTEM
from v2v_export.systems.live2diff.literal import LiteralStream
from v2v_export.systems.live2diff.options import Live2DiffOptions
from v2v_export.systems.live2diff.sources import Sources, open_sources
from v2v_export.systems.live2diff.stream import Live2DiffModel
from v2v_export.systems.live2diff.weights import TemporalSource
from v2v_runtime import Stream

SIZE = FrameSize(64, 64)
WARMUP = 8
"""Frames of a warm-up."""

WEIGHTS = {"base": "random:0", "live2diff": "random:1", "depth": "random:2", "vae": "random:3"}

INDICES = {1: (35,), 2: (30, 40), 3: (30, 36, 42), 4: (25, 31, 37, 43)}
"""Rows -> t_index_list of the published configurations."""


def micro_options(rows: int = 2, **changes: Any) -> Live2DiffOptions:
    """Options of the narrow networks."""
    given: dict[str, Any] = {
        "architecture": "tiny_sd15",
        "vae": "tiny_taesd",
        "rows": rows,
        "t_index_list": INDICES[rows],
        "prompt": "embeddings",
        "text": "a lake",
        "noise_frames": 16,
        **changes,
    }
    return Live2DiffOptions(**given)


def micro_model(options: Live2DiffOptions) -> Live2DiffModel:
    """A model with random weights whose UNet has two levels."""
    whole = open_sources(WEIGHTS, options)
    source = ModuleSource(SMALL_SD, SMALL_SD.name, lambda keep: random_state(SMALL_SD, 3, keep))
    sources = Sources(
        unet=Network(source),
        temporal=TemporalSource("random:1", SMALL_SD),
        vae=whole.vae,
        depth=whole.depth,
        encoders=whole.encoders,
        tokenizer=whole.tokenizer,
    )
    return Live2DiffModel(sources, options, SIZE)


class Bundles(MicroBundles[Live2DiffOptions]):
    """In the forms that a build for the CPU takes, temporal attention token by token among them."""

    def __init__(self, root: Path, kind: Literal["float16", "float32"] = "float32") -> None:
        coded = ("encode", "decode", "warmup_encode", "warmup_decode")
        varies = {
            "unet_step": lambda options: options.official_startup,
            **dict.fromkeys(coded, lambda options: options.vae),
        }
        forms = graph_options(load_profile("cpu"), "onnxruntime", SYSTEM).lowering
        super().__init__(root, micro_model, varies, forms, kind)


def chunks(clip: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """The frames of each step: those of the warm-up together, then one by one."""
    yield clip[:WARMUP]
    yield from (clip[index : index + 1] for index in range(WARMUP, len(clip)))


def played(stream: Stream, chunk: NDArray[np.uint8]) -> NDArray[Any]:
    """The latent that a bundle's step of these frames decoded."""
    for frame in chunk:
        stream.push(frame)
    rows = stream.session.program.phases[1].emit
    assert rows is not None
    return stream.peek(f"x_{rows.drop_first + 1}" if len(chunk) == WARMUP else "clean")


def decoded(literal: LiteralStream, chunk: NDArray[np.uint8]) -> tuple[NDArray[Any], Sequence[Any]]:
    """The literal stream's, and its pictures."""
    made = literal.step(chunk)
    seen = literal.loop.seen
    assert seen is not None
    clean = seen.clean[-1] if len(chunk) == WARMUP else seen.clean[-1:]
    return clean.double().numpy(), made
