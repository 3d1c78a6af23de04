"""Weights beside the graph: one data file, each content once, aligned, the same bytes every time."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO

import numpy as np
import onnx
import onnx_ir as ir

INLINE_BYTES = 256
"""Tensors up to this size stay in the ONNX file: scalars and axes that shape inference reads."""

ALIGNMENT = 4096
"""Offsets are multiples of a page where the tensor fills one, and of ``SMALL_ALIGNMENT`` where it does
not."""

SMALL_ALIGNMENT = 64

Buffer = memoryview | bytes


class WeightFile:
    """Writes tensors one after the other, each content once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._at = 0
        self._known: dict[tuple[bytes, int], int] = {}

    def add(self, data: Buffer) -> tuple[int, int]:
        """Stores ``data`` unless the same bytes are there; returns its offset and length in bytes."""
        length = len(data)
        digest = (hashlib.sha256(data).digest(), length)
        if digest not in self._known:
            alignment = ALIGNMENT if length >= ALIGNMENT else SMALL_ALIGNMENT
            padding = -self._at % alignment
            self._file.write(bytes(padding))
            self._file.write(data)
            self._known[digest] = self._at + padding
            self._at += padding + length
        return self._known[digest], length


def externalise(model: ir.Model, folder: Path, name: str) -> onnx.ModelProto:
    """Moves the weights of ``model`` into ``folder / name`` and returns the graph that refers to them.

    The tensors are written straight from where they are, one at a time, so a model past 2 GB costs no copy.
    The file is left out when there is nothing to put into it.
    """
    path = folder / name
    with path.open("wb") as file:
        weights = WeightFile(file)
        for value in model.graph.initializers.values():
            tensor = value.const_value
            if tensor is None or tensor.nbytes <= INLINE_BYTES:
                continue
            offset, length = weights.add(_bytes(tensor))
            value.const_value = ir.ExternalTensor(
                name,
                offset,
                length,
                tensor.dtype,
                shape=ir.Shape(tensor.shape.numpy()),
                name=str(value.name),
                base_dir=folder,
            )
    if path.stat().st_size == 0:
        path.unlink()
    return ir.to_proto(model)


def pack(graphs: dict[str, Path], folder: Path, variant: str) -> dict[str, str]:
    """Gathers graphs with weights of their own into one variant that stores what they share once.

    Args:
        graphs: graph -> its ONNX file, as ``externalise`` made it.
        folder: takes ``<variant>.<graph>.onnx`` and ``<variant>.weights``.

    Returns:
        graph -> ONNX file name.
    """
    names = {}
    path = folder / f"{variant}.weights"
    with path.open("wb") as file:
        weights = WeightFile(file)
        for graph, source in graphs.items():
            model = onnx.load_model(source, load_external_data=False)
            for tensor in model.graph.initializer:
                if tensor.data_location == onnx.TensorProto.EXTERNAL:
                    offset, length = weights.add(_external(tensor, source.parent))
                    _refer(tensor, path.name, offset, length)
            names[graph] = f"{variant}.{graph}.onnx"
            (folder / names[graph]).write_bytes(model.SerializeToString(deterministic=True))
    if path.stat().st_size == 0:
        path.unlink()
    return names


def _external(tensor: onnx.TensorProto, folder: Path) -> bytes:
    """A tensor's bytes, read and not mapped: pages of a mapped file count as this process's memory."""
    entry = {item.key: item.value for item in tensor.external_data}
    with (folder / entry["location"]).open("rb", buffering=0) as file:
        file.seek(int(entry["offset"]))
        data: bytes = file.read(int(entry["length"]))
        return data


def _refer(tensor: onnx.TensorProto, location: str, offset: int, length: int) -> None:
    del tensor.external_data[:]
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))


def _bytes(tensor: ir.TensorProtocol) -> Buffer:
    if tensor.dtype.bitwidth < 8:
        return tensor.tobytes()
    return np.ascontiguousarray(tensor.numpy()).reshape(-1).view(np.uint8).data
