"""The stream program's types: graphs, state, calls and phases. ``model`` gives them out with the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from v2v_runtime.manifest.constraints import (
    BlobPath,
    Few,
    Index,
    Name,
    Pixels,
    Positive,
    Reference,
    Shape,
    Some,
    TensorKey,
    Whole,
)

#: Concrete tensor types. ``"float"`` is resolved by the variant that a target names.
DType = Literal["bool", "uint8", "int32", "int64", "float16", "float32", "float"]

#: Names that every step of every phase can read; all are int64 of shape [1] and live on the device.
#: ``<ring>.count`` exists for each ring besides.
BUILTINS = ("step", "frame_index")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor's type and static shape. Rank 0 is refused: a scalar has shape [1]."""

    dtype: DType
    shape: Shape


@dataclass(frozen=True, slots=True)
class FrameSpec:
    """One video input or output: uint8 pictures of one size, in [0, 255].

    A step that gathers G frames sees one tensor [G, height, width, 3].
    """

    height: Pixels
    width: Pixels
    format: Literal["rgb8"] = "rgb8"
    layout: Literal["HWC"] = "HWC"


@dataclass(frozen=True, slots=True)
class BlobRef:
    """One tensor of one safetensors file under ``blobs/``; ``file`` is its path in the bundle, ``blobs/...``.

    A blob for a ``"float"`` slot, param or const is stored as float32 and cast once to what the variant
    calls float.
    """

    file: BlobPath
    tensor: TensorKey


@dataclass(frozen=True, slots=True)
class Graph:
    """One ONNX model's ports, the same in every variant.

    A port that ``rows`` binds is declared at the largest bucket. No input has the name of an output.

    Attributes:
        inputs: port -> type and shape.
        outputs: port -> type and shape; at least one.
        resident: ``always``, or ``phase``: loaded when a phase that calls it is entered and freed after it.
    """

    inputs: Mapping[Name, TensorSpec]
    outputs: Annotated[Mapping[Name, TensorSpec], Some]
    resident: Literal["always", "phase"] = "always"


@dataclass(frozen=True, slots=True)
class Ring:
    """Makes a slot a ring of ``length`` entries along axis 0 (``shape[0] == length``)."""

    length: Positive


@dataclass(frozen=True, slots=True)
class Slot:
    """State that lives from step to step.

    Reading a slot gives its value at the start of the step. It is written by binding a call's output to it:
    the whole slot, or disjoint views of it; on a ring, one entry of shape [1, *shape[1:]], which lands at
    index ``count % length`` and raises ``count`` by one when the step commits.

    A slot written by a call with ``when: changed`` is *derived* from params: only such calls may write it,
    and calls after them in the same step already read the new value. It is read only after those calls and in
    phases that have them, so that it is never older than its params.

    Every slot is written by some call: what is never written is a const. A slot that the phases, played in
    their order, write whole before any of them reads it has no starting value: its init only fills memory,
    and a phase that reads it is not entered by hand before the one that makes it has run (V2V-E3033).
    """

    dtype: DType
    shape: Shape
    init: Literal["zeros"] | BlobRef = "zeros"
    ring: Ring | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """The lowest and the highest value that an element may have, both included."""

    low: Whole
    high: Whole


@dataclass(frozen=True, slots=True)
class Param:
    """A tensor that the user may set between steps, several at once, atomically.

    Attributes:
        limits: what the graphs can take; the default lies within them, and what a user sets is refused where
            it does not. None: whatever its type holds (no NaN or infinity). A bool has none.
    """

    dtype: DType
    shape: Shape
    default: BlobRef
    limits: Limits | None = None


@dataclass(frozen=True, slots=True)
class Const:
    """A tensor that never changes: coefficients, timesteps, noise tables, merge permutations."""

    dtype: DType
    shape: Shape
    blob: BlobRef


@dataclass(frozen=True, slots=True)
class View:
    """``length`` entries along axis 0 of ``name``, from ``start``."""

    name: Reference
    start: Index
    length: Positive


#: What a port is bound to: a name (slot, param, const, temporary, builtin or the program's input) or a view.
#: An output binds a slot or a view of one, or names a temporary; no view of a temporary is written.
Binding = Reference | View


@dataclass(frozen=True, slots=True)
class Every:
    """Run when ``step % every`` is in ``at`` (non-empty, sorted, unique, below ``every``).

    The least common multiple of a phase's ``every``, or its ``steps`` if they are fewer, is at most 4096, and
    each call runs in some step of its phase.
    """

    every: Positive
    at: Annotated[tuple[Index, ...], Some]


@dataclass(frozen=True, slots=True)
class Changed:
    """Run in the first step of a phase, and in the first step after any of these params was set.

    Such a call reads params, consts and derived slots alone, and writes slots alone; ``changed`` names every
    param that it reads, itself or through a derived slot. It is not ``late`` and has no ``rows``.
    """

    changed: Annotated[tuple[Name, ...], Some]


@dataclass(frozen=True, slots=True)
class Rows:
    """Run a call on the leading rows only.

    The machine reads ``count`` (an int32 tensor [1] made earlier in the step: one declared host sync), takes
    the smallest bucket that holds it, and binds the leading rows of ``ports``. Tensors are allocated at the
    largest bucket. The graph that makes the rows fills those past ``count`` with valid ones; who reads the
    full buffer ignores the rest. A count below 0 or above the largest bucket fails the step.

    Attributes:
        buckets: strictly rising row counts, at least 1.
        ports: the ports of this call whose axis 0 is the bucket. Outputs among them make temporaries, never
            slots: the rows past the bucket are not written, and a slot's value must not depend on the past.
        at_zero: ``run`` uses the smallest bucket; ``skip`` leaves the call out. A call that may be left out
            makes no temporary beside the ports above; the slots that it writes then keep their value.
    """

    count: Name
    buckets: Annotated[tuple[Positive, ...], Some]
    ports: Annotated[tuple[Name, ...], Some]
    at_zero: Literal["run", "skip"] = "run"


@dataclass(frozen=True, slots=True)
class Call:
    """One run of one graph in a step.

    Attributes:
        name: unique in its phase; traces, errors and variants use it.
        graph: the graph to run.
        inputs: every input port -> binding.
        outputs: every output port -> binding, or None for an output that this call throws away.
        when: the steps in which it runs; None: every step.
        rows: run on the leading rows only; None: on the whole.
        late: runs after the step's frames are handed over, ends before the next step. What it writes commits
            when it has ended, apart from the rest of the step. Nothing that is not late may read its
            temporaries in the same step. Late calls stand after all others of their phase.
        check: output ports that hold an all-finite flag (bool [1]); a false one fails the step. Each is bound
            to None or to a temporary.
        in_place: output ports bound straight to the slot's own memory (a ring's entry, or a view). Only for
            graphs that select the entry about to be overwritten away from what they read, so that a failed
            step can be tried again (a late call cannot be, and writes none so); such a port's slot is not
            double. No later call of the phase reads the slot, and the phase writes it by no port that is
            not in place. If the call has an input bound to the same view as such an output, the two are one
            memory that the graph *updates*: it rewrites some entries, by what it does not read there, and
            hands the others through as they are.
    """

    name: Name
    graph: Name
    inputs: Mapping[Name, Binding]
    outputs: Mapping[Name, Binding | None]
    when: Every | Changed | None = None
    rows: Rows | None = None
    late: bool = False
    check: tuple[Name, ...] = ()
    in_place: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True)
class Skip:
    """If ``tensor`` (bool [1], made in this step) is true, the rest of the step does not run.

    What the calls up to the one that made it wrote to slots commits (a similarity filter's own memory); no
    counter moves, so those calls append to no ring; the frame stored in slot ``frame`` (uint8 [1, H, W, 3] of
    the output, no ring, not written by those calls) is emitted again for the oldest waiting timestamp. The
    flag is not honoured until the stream has emitted a first frame, nor while it is flushed: a flush repeats
    a frame to get those in flight out.

    The call that makes ``tensor`` runs in every step (no ``when``, not late, never left out by ``rows``), and
    the phase takes and emits one frame per step.
    """

    tensor: Name
    frame: Name


@dataclass(frozen=True, slots=True)
class Emit:
    """Hands over ``tensor``, uint8 [E, H, W, 3]; the first ``drop_first`` frames of the phase are dropped.

    An emitted frame pops the oldest waiting timestamp; a dropped one does not. ``tensor`` is a temporary that
    the step's calls (not the late ones) make in every step. E is at most ``gather``, and equal to it in the
    last phase: each frame that goes in is owed one that comes out. A phase hands over at least one frame.
    """

    tensor: Name
    drop_first: Index = 0


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the stream with one list of calls.

    Attributes:
        steps: steps until the next phase begins; ``forever`` in the last phase, and only there.
        gather: frames per step (G).
        resets: slots set back to their init (rings: count too) when the phase is entered.
        emit: None in a phase that hands nothing over; the last phase emits.
    """

    name: Name
    steps: Positive | Literal["forever"]
    calls: Annotated[tuple[Call, ...], Some]
    gather: Positive = 1
    resets: tuple[Name, ...] = ()
    skip: Skip | None = None
    emit: Emit | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """The stream as data (version 1: exactly one input and one output).

    The input, slots, params and consts share one set of names with the builtins and with every phase's
    temporaries. The output's name is the application's word for it, and may be any.

    Attributes:
        max_frames: the most frames that one push can hand over (M): over the phases that emit, the largest
            ``min(E, steps * E - drop_first)``. The validator derives it and compares.
    """

    inputs: Mapping[Name, FrameSpec]
    outputs: Mapping[Name, FrameSpec]
    phases: Annotated[tuple[Phase, ...], Few]
    max_frames: Positive
    slots: Mapping[Name, Slot] = field(default_factory=dict)
    params: Mapping[Name, Param] = field(default_factory=dict)
    consts: Mapping[Name, Const] = field(default_factory=dict)
