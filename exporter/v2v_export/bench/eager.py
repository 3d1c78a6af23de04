"""A stream in PyTorch, eager: its program, played with the modules that its graphs were exported from.

What is left between this and a bundle's stream is the backend: the same rewritten modules, calls and state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from v2v_runtime.dtypes import numpy_dtype
from v2v_runtime.manifest.model import BlobRef, Call, Changed, Phase, Program, Slot, View
from v2v_runtime.schedule import due, whole_period

from v2v_export.system import GraphOptions, Model

Frame = NDArray[np.uint8]


class EagerStream:
    """One stream in float32, with the default params. Parts of programs that it does not play: rows and skip.

    Attributes:
        values: name -> every slot's value, and what the last step made beside them.
    """

    def __init__(self, model: Model, options: GraphOptions | None = None) -> None:
        self.program: Program = model.program()
        calls = [call for phase in self.program.phases for call in phase.calls]
        if any(call.rows for call in calls) or any(phase.skip for phase in self.program.phases):
            raise ValueError("EagerStream plays no rows and no skip")
        specs = model.graphs(options or GraphOptions())
        self._specs = {spec.name: spec for spec in specs}
        self._modules = {spec.name: spec.make() for spec in specs}
        self._blobs = model.blobs()
        self.reset()

    def reset(self) -> None:
        """Back to before the first frame."""
        program = self.program
        self._fixed = {name: self._read_blob(item.blob) for name, item in program.consts.items()}
        self._fixed |= {name: self._read_blob(item.default) for name, item in program.params.items()}
        self._slots: dict[str, Tensor] = {name: self._initial(slot) for name, slot in program.slots.items()}
        self.values: dict[str, Tensor] = dict(self._slots)
        self._counts = {name: 0 for name, slot in program.slots.items() if slot.ring is not None}
        self._frames, self._staged = 0, list[Frame]()
        self._steps = self._schedule()
        self._phase, self._step = next(self._steps)

    @torch.no_grad()
    def push(self, frame: Frame) -> Tensor | None:
        """Takes a frame [H, W, 3] and runs the step that it completes.

        Returns:
            What that step hands over, uint8 [E, H, W, 3]; None while frames are gathered or dropped.
        """
        self._staged.append(frame)
        if len(self._staged) < self._phase.gather:
            return None
        phase, step = self._phase, self._step
        if step == 0:
            for name in phase.resets:
                self._slots[name] = self._initial(self.program.slots[name])
                self._counts.update({name: 0} if name in self._counts else {})
        made = self._run(phase, step, torch.from_numpy(np.stack(self._staged)))
        self._staged = []
        self._phase, self._step = next(self._steps)
        if phase.emit is None:
            return None
        shown = made[phase.emit.tensor]
        left = max(0, phase.emit.drop_first - step * len(shown))
        return shown[left:] if left < len(shown) else None

    def _run(self, phase: Phase, step: int, frames: Tensor) -> dict[str, Tensor]:
        """One step; what it writes to slots is seen from the next one on, derived slots at once."""
        (source,) = self.program.inputs
        counters = {"step": step, "frame_index": self._frames}
        counters |= {f"{name}.count": count for name, count in self._counts.items()}
        read = {**self._fixed, **self._slots, source: frames}
        read |= {name: torch.tensor([count]) for name, count in counters.items()}
        written: dict[str, Tensor] = {}
        appended: list[str] = []
        for call in phase.calls:
            if not due(call, step):
                continue
            for binding, value in self._call(call, read):
                name = binding.name if isinstance(binding, View) else binding
                slot = self.program.slots.get(name)
                if slot is None:
                    read[name] = value
                    continue
                if isinstance(binding, View) or slot.ring is not None:
                    start = binding.start if isinstance(binding, View) else self._entry(name, slot)
                    appended += [] if isinstance(binding, View) else [name]
                    whole = written[name] if name in written else self._slots[name].clone()
                    whole[start : start + len(value)] = value
                    value = whole
                written[name] = value
                if isinstance(call.when, Changed):
                    read[name] = value
        for name in appended:
            self._counts[name] += 1
        self._frames += len(frames)
        self._slots |= written
        self.values = {**read, **self._slots}
        return read

    def _call(self, call: Call, read: Mapping[str, Tensor]) -> Iterator[tuple[str | View, Tensor]]:
        spec = self._specs[call.graph]
        given = [_bound(read, call.inputs[port]) for port in spec.inputs]
        answer = self._modules[call.graph](*given)
        items = (answer,) if isinstance(answer, Tensor) else answer
        for port, value in zip((*spec.outputs, *spec.taps), items, strict=True):
            binding = call.outputs.get(port)
            if binding is not None:
                yield binding, value

    def _entry(self, name: str, slot: Slot) -> int:
        assert slot.ring is not None
        return self._counts[name] % slot.ring.length

    def _initial(self, slot: Slot) -> Tensor:
        if slot.init != "zeros":
            return self._read_blob(slot.init)
        return torch.from_numpy(np.zeros(slot.shape, numpy_dtype(slot.dtype, "float32")))

    def _read_blob(self, blob: BlobRef) -> Tensor:
        return torch.from_numpy(np.array(self._blobs[blob.file][blob.tensor]))

    def _schedule(self) -> Iterator[tuple[Phase, int]]:
        for phase in self.program.phases:
            step = 0
            while phase.steps == "forever" or step < phase.steps:
                yield phase, step
                step += 1


class EagerSide:
    """``EagerStream`` as a side of a benchmark (``interleave.Side``)."""

    def __init__(self, name: str, model: Model) -> None:
        self.name = name
        self._stream = EagerStream(model)
        self.period = whole_period(self._stream.program)

    def reset(self) -> None:
        self._stream.reset()

    def push(self, frame: Frame) -> None:
        self._stream.push(frame)

    def settle(self) -> None:
        """Nothing goes on after a step."""


def _bound(read: Mapping[str, Tensor], binding: Any) -> Tensor:
    if isinstance(binding, View):
        return read[binding.name][binding.start : binding.start + binding.length]
    return read[binding]
