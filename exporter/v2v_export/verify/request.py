"""What a build asks of parity, and what it gets back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from v2v_runtime.manifest.model import TensorSpec

    from v2v_export.progress import Progress
    from v2v_export.recipe import Recipe
    from v2v_export.system import GraphOptions, Model


@dataclass(frozen=True)
class ParityRequest:
    """One target of a finished bundle that is not yet published.

    Attributes:
        bundle: the bundle's folder, whole, with the target's ``target.json`` (status ``built``).
        target: the target's folder name, such as ``cpu.onnxruntime``.
        recipe: what was built; ``recipe.verify`` holds the tolerances.
        model: gives the loaded model; it is loaded at the first call.
        options: the target's variant, for ``Model.graphs``.
        taps: graph -> its hidden taps (``v2v_export.export.taps.surface`` brings them back).
        progress: takes steps of the running stage; the build starts and finishes the stage.
        release: frees the model, and what PyTorch holds, before graphs are played.
        scratch: a folder that all targets of a build share, and that ends with it: for what PyTorch computed.
            None: there is none.
    """

    bundle: Path
    target: str
    recipe: Recipe
    model: Callable[[], Model]
    options: GraphOptions
    taps: Mapping[str, Mapping[str, TensorSpec]]
    progress: Progress
    release: Callable[[], None] = lambda: None
    scratch: Path | None = None


@dataclass(frozen=True)
class Parity:
    """The outcome of a target that did not miss.

    Attributes:
        status: ``verified``: this machine ran the target and it passed; ``built``: it was not run here.
        verification: what was compared, with numbers, and what was not; goes into ``target.json``.
    """

    status: Literal["verified", "built"]
    verification: Mapping[str, Any] = field(default_factory=dict)


Verify = Callable[[ParityRequest], Parity]
"""Compares one target with the PyTorch reference; raises ``VerdictError`` (V2V-E8xxx) on a miss."""
