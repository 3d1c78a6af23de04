"""What can be measured: a bundle's stream, and the literal reference in PyTorch, eager or compiled."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.bundle import Bundle
from v2v_runtime.manifest.model import Program
from v2v_runtime.opening import trust_options
from v2v_runtime.schedule import whole_period
from v2v_runtime.stream import Stream

from v2v_export.system import Reference

Frame = NDArray[np.uint8]


class StreamSide:
    """A bundle's target, played by the runtime as an application would.

    ``trust`` holds hashes of engines, or of targets, from elsewhere that may be loaded, see
    ``v2v_runtime.trust``.
    """

    def __init__(self, name: str, bundle: Path, target: str | None, trust: Sequence[str] = ()) -> None:
        self.name = name
        opened = Bundle.open(bundle)
        self.stream = Stream(opened, target, options=trust_options(opened, target, trust))
        self.period = whole_period(self.stream.session.program)

    def reset(self) -> None:
        self.stream.reset()

    def push(self, frame: Frame) -> None:
        self.stream.push(frame)

    def settle(self) -> None:
        # Any call waits for the late calls of the step before; this one does nothing else.
        self.stream.set_params()

    def close(self) -> None:
        self.stream.close()


class ReferenceSide:
    """The literal stream in PyTorch, float32."""

    def __init__(self, name: str, reference: Reference, program: Program) -> None:
        self.name = name
        self._reference = reference
        self._gathers = [phase.gather for phase in program.phases]
        self._program = program
        self.period = whole_period(program)
        self.reset()

    def reset(self) -> None:
        self._reference.reset()
        self._waiting: list[Frame] = []
        self._plan = self._steps()
        self._gather = next(self._plan)

    def push(self, frame: Frame) -> None:
        self._waiting.append(frame)
        if len(self._waiting) == self._gather:
            self._reference.step(np.stack(self._waiting))
            self._waiting = []
            self._gather = next(self._plan)

    def settle(self) -> None:
        """Nothing goes on after a step."""

    def _steps(self) -> Iterator[int]:
        """The frames that each step takes."""
        for phase in self._program.phases:
            if phase.steps == "forever":
                while True:
                    yield phase.gather
            yield from [phase.gather] * phase.steps


def compiled(reference: Reference, frame: Frame, gather: int) -> str:
    """Has ``torch.compile`` take every module that the reference calls, and tries it once.

    Returns:
        Why it does not work here; empty if it does.
    """
    if not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
        return "no C++ compiler on the PATH"
    modules = list(_modules(reference))
    for module in modules:
        module.compile()
    try:
        reference.reset()
        reference.step(np.stack([frame] * gather))
        reference.reset()
    except Exception as error:  # noqa: BLE001 - a compiler may fail in any way, and bench goes on without it
        return f"torch.compile failed: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    return "" if modules else "the reference holds no torch module"


def _modules(holder: Any) -> Iterator[Any]:
    """The modules that an object holds in its attributes, at any depth outside of modules; each once."""
    import torch

    seen: set[int] = set()
    waiting = [holder]
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, str | bytes | int | float | torch.Tensor | np.ndarray):
            continue
        seen.add(id(item))
        if isinstance(item, torch.nn.Module):
            yield item
        elif isinstance(item, list | tuple):
            waiting.extend(item)
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif hasattr(item, "__dict__") and not isinstance(item, type):
            waiting.extend(vars(item).values())
        elif hasattr(type(item), "__slots__"):
            waiting.extend(getattr(item, name) for name in type(item).__slots__ if hasattr(item, name))
