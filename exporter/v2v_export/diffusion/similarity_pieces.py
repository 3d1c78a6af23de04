"""The similarity filter's part of a stream program: two calls, a ``skip``, their slots, params and draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from v2v_runtime.manifest.model import BlobRef, Call, Const, FrameSpec, Limits, Param, Skip, Slot, TensorSpec

from v2v_export.diffusion.noise import uniform_table
from v2v_export.diffusion.prompt_errors import FilterError
from v2v_export.diffusion.similarity import Keep, SimilarityFilter
from v2v_export.system import FrameSize, GraphSpec

FILTER_FILE = "blobs/similarity.safetensors"
"""The draws, and the params' defaults."""

MOST_SKIPS = 2**31 - 1
"""The largest ``max_skip``."""

DRAWS = 4096
"""Draws in the table, after which they begin again."""

_STREAM = 0x51
"""Keeps the draws apart from noise of the same seed."""

_NUMBER, _REAL = TensorSpec("int64", (1,)), TensorSpec("float32", (1,))
_DRAWS = TensorSpec("float32", (DRAWS,))
_MEMORY = ("reference", "seen", "skips")
"""Ports that are bound to slots; what is written to them has ``new_`` before its name."""


@dataclass(frozen=True)
class FilterPieces:
    """What goes into a program of one phase with the filter.

    Attributes:
        before: first of the phase's calls, but for the prompt's.
        after: behind the call that makes the frame.
        skip: the phase's.
        resets: slots to add to the phase's, where it may be entered again.
        graphs: of both calls, the same in every variant.
    """

    before: Call
    after: Call
    skip: Skip
    slots: Mapping[str, Slot]
    params: Mapping[str, Param]
    consts: Mapping[str, Const]
    blobs: Mapping[str, Mapping[str, NDArray[Any]]]
    resets: tuple[str, ...]
    graphs: tuple[GraphSpec, ...]


def filter_pieces(
    source: FrameSpec,
    result: FrameSpec,
    *,
    warm: int = 1,
    threshold: float = 0.98,
    max_skip: int = 10,
    seed: int = 0,
    frame: str = "frame",
    out: str = "out",
) -> FilterPieces:
    """The filter for a stream that takes ``source`` frames and hands over ``result`` frames.

    Args:
        warm: steps of the phase until its first frame has come out (T for T rows in flight).
        threshold: the param ``similarity_threshold``: eta, in [-1, 1]; 1 skips nothing.
        max_skip: the param ``similarity_max_skip``, 0 to ``MOST_SKIPS``; one more skip in a row happens.
        seed: of the draws.
        frame, out: names of the program's input and of the temporary that it emits.

    Raises:
        FilterError: V2V-E6171: threshold or max_skip out of range.
    """
    if not (-1 <= threshold <= 1 and 0 <= max_skip <= MOST_SKIPS):
        raise FilterError(
            "V2V-E6171",
            f"a similarity filter with threshold {threshold} and max_skip {max_skip}",
            f"a threshold from -1 to 1 and a max_skip from 0 to {MOST_SKIPS}",
            "0.98 and 10 are the published ones",
        )
    shown = TensorSpec("uint8", (1, result.height, result.width, 3))
    inputs = _inputs(TensorSpec("uint8", (1, source.height, source.width, 3)))
    values: dict[str, NDArray[Any]] = {
        _name("draws"): uniform_table(seed, DRAWS, _STREAM),
        _name("threshold"): np.array([threshold], np.float32),
        _name("max_skip"): np.array([max_skip], np.int64),
    }
    bound = {port: _name(port) for port in inputs if port not in ("frame", "step")}
    slots = {_name(port): Slot(inputs[port].dtype, inputs[port].shape) for port in _MEMORY}
    return FilterPieces(
        before=Call(
            "similarity",
            "similarity",
            {"frame": frame, "step": "step", **bound},
            {"skip": "skip", **{f"new_{port}": _name(port) for port in _MEMORY}},
        ),
        after=Call("keep", "keep", {"out": out}, {"shown": "shown"}),
        skip=Skip("skip", "shown"),
        slots={**slots, "shown": Slot(shown.dtype, shown.shape)},
        params={
            _name(port): Param(
                inputs[port].dtype, inputs[port].shape, BlobRef(FILTER_FILE, _name(port)), limits
            )
            for port, limits in (("threshold", Limits(-1, 1)), ("max_skip", Limits(0, MOST_SKIPS)))
        },
        consts={_name("draws"): Const(_DRAWS.dtype, _DRAWS.shape, BlobRef(FILTER_FILE, _name("draws")))},
        blobs={FILTER_FILE: values},
        resets=(*slots, "shown"),
        graphs=(
            _graph(inputs, values, warm),
            GraphSpec("keep", Keep, {"out": shown}, {"shown": shown}),
        ),
    )


class FilterOptions(Protocol):
    """The recipe's options by which a system offers the filter."""

    @property
    def similarity(self) -> bool: ...
    @property
    def similarity_threshold(self) -> float: ...
    @property
    def max_skip(self) -> int: ...
    @property
    def seed(self) -> int: ...


def chosen_filter(options: FilterOptions, size: FrameSize, rows: int) -> FilterPieces | None:
    """The filter of a stream with ``rows`` frames in flight; None where the options leave it off.

    Raises:
        FilterError: V2V-E6171.
    """
    if not options.similarity:
        return None
    frame = FrameSpec(size.height, size.width)
    return filter_pieces(
        frame,
        frame,
        warm=rows,
        threshold=options.similarity_threshold,
        max_skip=options.max_skip,
        seed=options.seed,
    )


def _inputs(frame: TensorSpec) -> dict[str, TensorSpec]:
    """The ports in the order of ``SimilarityFilter.forward``."""
    return {
        "frame": frame,
        "reference": frame,
        "seen": _NUMBER,
        "skips": _NUMBER,
        "step": _NUMBER,
        "draws": _DRAWS,
        "threshold": _REAL,
        "max_skip": _NUMBER,
    }


def _graph(inputs: Mapping[str, TensorSpec], values: Mapping[str, NDArray[Any]], warm: int) -> GraphSpec:
    tables = {port: torch.from_numpy(values[_name(port)]) for port in ("draws", "threshold", "max_skip")}
    counts = {"seen": torch.tensor([3]), "skips": torch.tensor([2]), "step": torch.tensor([warm])}
    outputs = {"skip": TensorSpec("bool", (1,)), **{f"new_{port}": inputs[port] for port in _MEMORY}}
    return GraphSpec(
        "similarity", lambda: SimilarityFilter(warm), inputs, outputs, example={**tables, **counts}
    )


def _name(port: str) -> str:
    return f"similarity_{port}"
