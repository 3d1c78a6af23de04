"""The protocol of a system: what a model author writes, and all that the toolchain knows of it.

A system is one object, found through the entry-point group ``v2v_export.systems`` (in this package or in any
other). It declares its options, loads its weights, and answers three questions: which graphs are exported,
which program plays them, and what the literal PyTorch stream computes. Nothing else in the toolchain names a
system.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.manifest.model import CallOverride, Program, TensorSpec

from v2v_export.weights import Weights, WeightSlot

if TYPE_CHECKING:
    # Listing systems and finding that a build has nothing to do must not cost torch's import.
    import torch

ENTRY_POINT_GROUP = "v2v_export.systems"


@dataclass(frozen=True)
class FrameSize:
    """Height and width of the stream's input frames, in pixels."""

    height: int
    width: int


@dataclass(frozen=True)
class GraphOptions:
    """What the target's profile decides about the graphs. One value of this is one variant of the bundle.

    Attributes:
        float: the type of ``"float"`` tensors and of the weights.
        lowering: operation family -> chosen form, such as ``{"deform": "gridsample"}``. A system reads the
            families it knows; ``System.lowerings`` lists them with their choices.
    """

    float: Literal["float16", "float32"] = "float32"
    lowering: Mapping[str, str] = field(default_factory=dict)

    @property
    def dtype(self) -> torch.dtype:
        """``float`` as a torch type."""
        import torch

        return torch.float16 if self.float == "float16" else torch.float32


@dataclass(frozen=True)
class GraphSpec:
    """One graph to export.

    Attributes:
        name: the graph's name in the manifest.
        module: makes the module, already of the wanted precision. Each use makes its own and lets it go
            afterwards, so that one graph's weights are in memory at a time; a factory keeps no hold on what
            it made, and reads big weights only when it is called. ``forward`` takes the inputs in order and
            returns a tensor, or a tuple: the outputs in order, then the taps in order.
        inputs: port -> type and shape (``"float"`` where the variant decides).
        outputs: port -> type and shape.
        taps: float tensors that parity reads and a playing engine does not hand out, such as the picture
            before it becomes uint8.
        resident: see ``v2v_runtime.manifest.model.Graph``.
        dynamic_rows: ports whose axis 0 is a row bucket.
        example: port -> tensor to trace and compare with; random ones are made for ports that are left out.
        opset: the ONNX opset that it needs, where that is above ``export.trace.OPSET``: backends that lack it
            will refuse the graph.
    """

    name: str
    module: Callable[[], torch.nn.Module]
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    taps: Mapping[str, TensorSpec] = field(default_factory=dict)
    resident: Literal["always", "phase"] = "always"
    dynamic_rows: tuple[str, ...] = ()
    example: Mapping[str, torch.Tensor] = field(default_factory=dict)
    opset: int | None = None

    def make(self) -> torch.nn.Module:
        """A module of its own, in eval mode."""
        return self.module().eval()


@dataclass(frozen=True)
class ReferenceFrame:
    """One emitted frame of the literal stream.

    Attributes:
        float: the picture [C, H, W] in [-1, 1].
        rgb8: the picture [H, W, 3] in levels.
    """

    float: NDArray[np.float32]
    rgb8: NDArray[np.uint8]


class Reference(Protocol):
    """The literal PyTorch stream, the paper's equations with nothing rewritten. It judges the export."""

    def reset(self) -> None:
        """Back to before the first frame."""

    def step(self, frames: NDArray[np.uint8]) -> Sequence[ReferenceFrame]:
        """Takes the frames of one step of the program, uint8 [G, H, W, 3]; returns what that step emits."""

    def slots(self) -> Mapping[str, NDArray[Any]]:
        """The value that each of the program's slots must hold now, computed from the literal state.

        Teacher-forced parity writes these into the stream before a step. Empty before the first frame. Where
        they are gigabytes, ``v2v_export.lazy.Lazy`` makes each when it is asked for, which is before the next
        step.
        """


class Model(Protocol):
    """A system with its weights, options and frame size: what one recipe asks for.

    Making one checks what was asked for; weights are read when graphs' modules or the reference need them.
    """

    def program(self) -> Program:
        """The stream program. It does not depend on the variant."""

    def blobs(self) -> Mapping[str, Mapping[str, NDArray[Any]]]:
        """Tensors that the program's slots, params and consts refer to: file -> tensor -> array."""

    def weight_counts(self) -> Mapping[str, int]:
        """Graph -> how many numbers its weights have, from sizes alone: no weight is read for it.

        With the program's slots this tells what cannot fit a GPU before any work is done.
        """

    def graphs(self, options: GraphOptions) -> Sequence[GraphSpec]:
        """The graphs of one variant; names, ports and taps are the same for every variant.

        Called for float32 too, whatever is built: those modules, in the first form of each lowering, judge
        all variants.
        """

    def overrides(self, options: GraphOptions) -> Mapping[str, CallOverride]:
        """``phase/call`` -> what one variant changes of the program's calls; most systems change nothing."""

    def reference(self) -> Reference:
        """A new literal stream in float32."""

    def teacher(self) -> Model | None:
        """The full teacher on every frame, as a model of its own with nothing but what the teacher needs.

        ``bench`` and ``demo`` build it into a bundle beside the stream's and compare. None if the system has
        no such thing.
        """


@runtime_checkable
class System(Protocol):
    """See the module's docstring. Implementations are stateless, and importing one does not import torch:
    that happens in ``load``.

    Attributes:
        name: how recipes call it (the entry point's name).
        title: one line for lists.
        weights: what a recipe gives under ``[weights]``.
        lowerings: operation family -> the forms that it can be exported in, the first one the default.
        options: frozen dataclass with a default for every field, read from the recipe's ``[options]`` table.
            Fields made by ``v2v_export.levers.lever`` are named where a stream does not fit a GPU.
    """

    name: str
    title: str
    weights: tuple[WeightSlot, ...]
    lowerings: Mapping[str, tuple[str, ...]]
    options: type[Any]

    def template(self) -> str:
        """A commented ``v2v.toml`` that builds as it stands."""

    def load(self, weights: Weights, options: Any, size: FrameSize) -> Model:
        """Loads the weights and checks that options, weights and frame size fit.

        Args:
            weights: the recipe's values; ``v2v_export.weights`` reads them by slot.
            options: an instance of ``self.options``.
            size: the input frames' size.

        Raises:
            ModelError: options, size or weights do not fit, with what would (V2V-E6xxx).
        """
