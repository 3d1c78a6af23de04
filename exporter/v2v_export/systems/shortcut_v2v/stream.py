"""The models of Shortcut-V2V: the accelerated stream, and its teacher alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from v2v_export.system import FrameSize, GraphOptions, GraphSpec, ReferenceFrame
from v2v_export.systems.shortcut_v2v import graphs, program
from v2v_export.systems.shortcut_v2v.block import ShortcutBlock
from v2v_export.systems.shortcut_v2v.model import ResnetGenerator, check_frame_size
from v2v_export.systems.shortcut_v2v.options import ShortcutOptions
from v2v_export.systems.shortcut_v2v.pictures import to_rgb8, to_tensor
from v2v_export.systems.shortcut_v2v.reference import ReferenceStream, check_fit, check_schedule
from v2v_export.systems.shortcut_v2v.rewrites import RewrittenBlock
from v2v_export.systems.shortcut_v2v.weights import load_block, load_teacher
from v2v_export.weights import Weights, one
from v2v_runtime.manifest.model import CallOverride, Program


class ShortcutModel:
    """Teacher and shortcut block as a stream (``v2v_export.system.Model``)."""

    def __init__(
        self, teacher: ResnetGenerator, block: ShortcutBlock, options: ShortcutOptions, size: FrameSize
    ) -> None:
        check_schedule(options.interval, options.schedule)
        check_frame_size(size.height, size.width, options.level)
        self._split = check_fit(teacher, block, options.level)
        self._teacher, self._block, self._options, self._size = teacher, block, options, size

    @classmethod
    def load(cls, weights: Weights, options: ShortcutOptions, size: FrameSize) -> ShortcutModel:
        """See ``System.load``."""
        teacher = load_teacher(one(weights, "teacher"), ngf=options.ngf, n_blocks=options.n_blocks)
        channels = teacher.split(options.level).channels
        block = load_block(one(weights, "shortcut"), feat_ch=channels, h=options.hidden or channels // 2)
        return cls(teacher, block, options, size)

    def program(self) -> Program:
        return program.stream_program(self._size, self._split.scale, self._block.h, self._options)

    def blobs(self) -> Mapping[str, Mapping[str, NDArray[Any]]]:
        return {}

    def graphs(self, options: GraphOptions) -> Sequence[GraphSpec]:
        return graphs.stream_graphs(self._split, self._block, self._size, self._options, options)

    def weight_counts(self) -> Mapping[str, int]:
        return graphs.stream_weight_counts(self._split, self._block, self._options)

    def overrides(self, options: GraphOptions) -> Mapping[str, CallOverride]:
        return {}

    def reference(self) -> LiteralStream:
        stream = ReferenceStream(
            self._teacher, self._block, self._options.level, self._options.interval, self._options.schedule
        )
        return LiteralStream(stream)

    def teacher(self) -> TeacherModel:
        return TeacherModel(self._teacher, self._size)


class LiteralStream:
    """The literal stream in the form that parity reads (``v2v_export.system.Reference``)."""

    def __init__(self, stream: ReferenceStream) -> None:
        self._stream = stream
        self._rewritten = RewrittenBlock.from_block(stream.block)

    def reset(self) -> None:
        self._stream.reset()

    def step(self, frames: NDArray[np.uint8]) -> Sequence[ReferenceFrame]:
        return [
            ReferenceFrame(result.picture.numpy(), result.rgb8) for result in map(self._stream.step, frames)
        ]

    @torch.no_grad()
    def slots(self) -> Mapping[str, NDArray[Any]]:
        if self._stream.reference is None:
            return {}
        state = self._rewritten.reference_state(*self._stream.reference)
        return {name: tensor.numpy() for name, tensor in zip(program.REFERENCE, state, strict=True)}


class TeacherModel:
    """The full teacher on every frame (``v2v_export.system.Model``)."""

    def __init__(self, teacher: ResnetGenerator, size: FrameSize) -> None:
        self._teacher, self._size = teacher, size

    def program(self) -> Program:
        return program.teacher_program(self._size)

    def blobs(self) -> Mapping[str, Mapping[str, NDArray[Any]]]:
        return {}

    def graphs(self, options: GraphOptions) -> Sequence[GraphSpec]:
        return graphs.teacher_graphs(self._teacher, self._size, options)

    def weight_counts(self) -> Mapping[str, int]:
        return {"teacher": sum(tensor.numel() for tensor in self._teacher.parameters())}

    def overrides(self, options: GraphOptions) -> Mapping[str, CallOverride]:
        return {}

    def reference(self) -> TeacherReference:
        return TeacherReference(self._teacher)

    def teacher(self) -> None:
        return None


class TeacherReference:
    """The teacher in PyTorch, frame by frame (``v2v_export.system.Reference``)."""

    def __init__(self, teacher: ResnetGenerator) -> None:
        self._teacher = teacher.eval()

    def reset(self) -> None:
        """There is no state."""

    @torch.no_grad()
    def step(self, frames: NDArray[np.uint8]) -> Sequence[ReferenceFrame]:
        pictures = [self._teacher(to_tensor(frame))[0] for frame in frames]
        return [ReferenceFrame(picture.numpy(), to_rgb8(picture)) for picture in pictures]

    def slots(self) -> Mapping[str, NDArray[Any]]:
        return {}
