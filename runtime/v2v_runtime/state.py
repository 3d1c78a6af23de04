"""All tensors of one stream: slots, params, counters, input frames and temporaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from v2v_runtime.backends.base import Array, Scalars, Tensor
from v2v_runtime.counters import Counters
from v2v_runtime.dtypes import concrete
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import BUILTINS, Phase, Program, TensorSpec, View
from v2v_runtime.params import check_limits
from v2v_runtime.session import Session
from v2v_runtime.slots import Cell, SlotState


class InputState(Cell):
    """The two tensors [G, H, W, 3] that take a phase's frames in turn.

    Frames are staged in ``buffers[index]``. A step that succeeds moves the index on, so that the last frame
    of the last good step stays intact for ``flush``, and late calls can still read it.
    """

    __slots__ = ("buffers", "frames", "staged")

    def __init__(self, buffers: tuple[Tensor, Tensor]) -> None:
        super().__init__()
        self.buffers = buffers
        self.frames = tuple(tuple(b.view(i, 1) for i in range(b.shape[0])) for b in buffers)
        self.staged = 0


class StreamState:
    """Tensors of one stream, allocated once.

    Attributes:
        slots: name -> slot.
        params: name -> tensor.
        inputs: phase -> its input frames; phases of equal gather share them.
        step: index of the next step in its phase, from 0.
        frame_index: index of the next step's first frame from the start of the stream.
    """

    def __init__(self, session: Session, counters: Counters) -> None:
        self._session = session
        self._counters = counters
        program = session.program
        self.slots = {
            name: SlotState(
                name,
                *concrete(TensorSpec(slot.dtype, slot.shape), session.float_type),
                init=None if slot.init == "zeros" else session.array(slot.dtype, slot.shape, slot.init),
                ring=slot.ring is not None,
                allocate=self.allocate,
            )
            for name, slot in program.slots.items()
        }
        self.params: dict[str, Tensor] = {}
        self._param_parts: dict[tuple[str, int, int], Tensor] = {}
        for name, param in program.params.items():
            spec = TensorSpec(param.dtype, param.shape)
            self.params[name] = self.allocate(*concrete(spec, session.float_type))
        for name, value in self.default_params().items():
            self.write_param(name, value)
        self.inputs = self._make_inputs(program)
        self._temps = TempPool(self)
        self.step = 0
        self.frame_index = 0
        self._builtins = tuple(sorted(_builtins_read(program)))
        self._uploaded: list[int] | None = None
        self._scalars: Scalars | None = None
        if self._builtins:
            self._scalars = self.scalars(np.dtype(np.int64), len(self._builtins))

    def set_slots(self, values: Mapping[str, Array]) -> None:
        """Overwrites slots, all that are given or none. Raises StreamError: V2V-E3050 to E3052."""
        if not isinstance(values, Mapping):
            raise StreamError(
                "V2V-E3051",
                f"slots were given as a {type(values).__name__}",
                "a mapping of names to arrays",
                "change what Stream.slots returns, and give that",
            )
        for name, value in values.items():
            if name not in self.slots:
                raise StreamError(
                    "V2V-E3050",
                    f"no slot {name!r}",
                    f"one of {', '.join(self.slots)}",
                    "give slots by the names that Stream.slots returns",
                )
            _check_slot(name, value, self.slots[name].value)
        for name, value in values.items():
            self.slots[name].value.write(value)

    def default_params(self) -> dict[str, Array]:
        """Every param's default, read and checked.

        Raises:
            BundleError, BackendError: a blob is not what the bundle declares any more.
            StreamError: V2V-E3012: one breaks the limits that it declares.
        """
        values = {}
        for name, param in sorted(self._session.program.params.items()):
            values[name] = self._session.array(param.dtype, param.shape, param.default)
            check_limits(name, param, values[name])
        return values

    def write_param(self, name: str, value: Array) -> None:
        """Sets a param to a value of its type and shape."""
        self.params[name].write(value)
        for (of, start, length), part in self._param_parts.items():
            if of == name:
                part.copy_from(self.params[name].view(start, length))

    def param_part(self, name: str, start: int, length: int) -> Tensor:
        """A view of a param, or a copy that follows it where the view does not lie where graphs can read."""
        view = self.params[name].view(start, length)
        if self.reachable(view):
            return view
        key = name, start, length
        if key not in self._param_parts:
            self._param_parts[key] = self.allocate(view.dtype, view.shape)
            self._param_parts[key].copy_from(view)
        return self._param_parts[key]

    def reachable(self, tensor: Tensor) -> bool:
        """Whether graphs can read and write the tensor where it lies."""
        return tensor.address % self._session.backend.memory.alignment == 0

    def allocate(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Tensor:
        """A new tensor of this stream, all zero; counted."""
        self._counters.allocations += 1
        return self._session.backend.memory.allocate(dtype, shape)

    def scalars(self, dtype: np.dtype[Any], count: int) -> Scalars:
        """A new row of scalars of this stream; counted as one tensor."""
        self._counters.allocations += 1
        return self._session.backend.memory.scalars(dtype, count)

    def temporary(self, phase: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Tensor:
        """A tensor that lives within a step of ``phase``; phases share memory."""
        return self._temps.take(phase, dtype, shape)

    def builtin(self, name: str) -> Tensor | None:
        """The device tensor of ``step``, ``frame_index`` or ``<ring>.count``; None for another name."""
        if self._scalars is None or name not in self._builtins:
            return None
        return self._scalars.tensors[self._builtins.index(name)]

    def upload_builtins(self) -> None:
        """Brings the device's counters up to date, in one transfer, if any of them has changed.

        The host's counters are the truth and move when a step commits; the device's are set before a step
        runs, so that late calls still read those of their own step.
        """
        if self._scalars is None:
            return
        values = [self._value(name) for name in self._builtins]
        if values != self._uploaded:
            self._scalars.write(np.array(values, np.int64))
            self._uploaded = values
            self._counters.uploads += 1
            self._counters.uploaded_bytes += self._scalars.nbytes

    def _value(self, name: str) -> int:
        if name == "step":
            return self.step
        if name == "frame_index":
            return self.frame_index
        ring = self.slots[name.removesuffix(".count")].ring
        assert ring is not None
        return ring.count

    def _make_inputs(self, program: Program) -> dict[str, InputState]:
        (frame,) = program.inputs.values()
        by_gather: dict[int, InputState] = {}
        for phase in program.phases:
            if phase.gather not in by_gather:
                shape = (phase.gather, frame.height, frame.width, 3)
                uint8 = np.dtype(np.uint8)
                by_gather[phase.gather] = InputState(
                    (self.allocate(uint8, shape), self.allocate(uint8, shape))
                )
        return {phase.name: by_gather[phase.gather] for phase in program.phases}


class TempPool:
    """Temporaries by type and shape. No two phases run at the same time, so each begins with the first."""

    def __init__(self, state: StreamState) -> None:
        self._state = state
        self._tensors: dict[tuple[np.dtype[Any], tuple[int, ...]], list[Tensor]] = {}
        self._taken: dict[tuple[str, np.dtype[Any], tuple[int, ...]], int] = {}

    def take(self, phase: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Tensor:
        tensors = self._tensors.setdefault((dtype, shape), [])
        index = self._taken.get((phase, dtype, shape), 0)
        self._taken[phase, dtype, shape] = index + 1
        if index == len(tensors):
            tensors.append(self._state.allocate(dtype, shape))
        return tensors[index]


def _check_slot(name: str, value: Any, tensor: Tensor) -> None:
    wanted = f"{tensor.dtype} {list(tensor.shape)}"
    if not isinstance(value, np.ndarray):
        raise StreamError(
            "V2V-E3051", f"slot {name!r} was given a {type(value).__name__}", wanted, "give a numpy array"
        )
    if value.shape != tensor.shape or value.dtype != tensor.dtype:
        raise StreamError(
            "V2V-E3051",
            f"slot {name!r} was given {value.dtype} {list(value.shape)}",
            wanted,
            "give an array of that type and shape",
        )
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(value))[0])
        raise StreamError(
            "V2V-E3052",
            f"slot {name!r} was given {value[where]} at {list(where)}",
            "finite values",
            "every later step would compute with it: look at where the value comes from",
        )


def read_names(phase: Phase) -> Iterator[str]:
    """Every name that a phase's calls read."""
    for call in phase.calls:
        for binding in call.inputs.values():
            yield binding.name if isinstance(binding, View) else binding


def _builtins_read(program: Program) -> set[str]:
    counts = {f"{name}.count" for name, slot in program.slots.items() if slot.ring is not None}
    names = counts | set(BUILTINS)
    return {name for phase in program.phases for name in read_names(phase) if name in names}
