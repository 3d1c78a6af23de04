"""The safetensors format on numpy, strict: every size is checked before memory is taken for it.

A file is 8 bytes (little-endian length N of the header), N bytes of JSON, then the tensors' bytes. The header
maps a name to ``{"dtype", "shape", "data_offsets": [begin, end]}``, offsets counted from the header's end;
tensors cover the rest of the file without overlap or hole. ``__metadata__`` maps text to text.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v2v_runtime.atomic import write_file
from v2v_runtime.bundle_codes import BundleCode
from v2v_runtime.errors import BundleError, ManifestError
from v2v_runtime.manifest.strict_json import load_json
from v2v_runtime.safe_files import read_file

MAX_HEADER = 16 * 2**20
MAX_FILE = 2**40
_MAX_RANK = 8

#: safetensors' names of the element types that numpy has.
DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("bool"),
    "U8": np.dtype("uint8"),
    "I8": np.dtype("int8"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor of a file: element type, shape, and the bytes [begin, end) of the data part."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


def read_safetensors(path: str | Path) -> dict[str, NDArray[Any]]:
    """Every tensor of one file, as arrays of their own (not of a mapped file).

    Raises:
        BundleError: V2V-E1004 to E1015: the file; V2V-E1030 to E1033: what is in it.
    """
    file = Path(path)
    return parse_safetensors(read_file(file.parent.resolve(), file.name, most=MAX_FILE), str(path))


def parse_safetensors(data: bytes, name: str = "safetensors") -> dict[str, NDArray[Any]]:
    """Every tensor in the bytes of one file; read-only views of ``data``. ``name`` stands in errors."""
    entries, start = parse_header(data, len(data), name)
    arrays = {}
    for key, entry in entries.items():
        raw = np.frombuffer(data, np.uint8, entry.end - entry.begin, start + entry.begin)
        if entry.dtype == np.bool_ and raw.size and int(raw.max()) > 1:
            raise BundleError(
                BundleCode.TENSORS_VALUE, f"{name}: bool tensor {key!r} holds {int(raw.max())}", "0 and 1"
            )
        arrays[key] = raw.view(entry.dtype).reshape(entry.shape)
    return arrays


def parse_header(data: bytes, size: int, name: str) -> tuple[dict[str, TensorEntry], int]:
    """The entries of a file of ``size`` bytes that begins with ``data``, and where its data part begins.

    Raises:
        BundleError: V2V-E1030 to E1032.
    """
    if size < 8 or len(data) < 8:
        raise BundleError(BundleCode.TENSORS_HEADER, f"{name} has {size} bytes", "a header length of 8 bytes")
    (length,) = struct.unpack_from("<Q", data)
    if length > min(MAX_HEADER, size - 8) or 8 + length > len(data):
        raise BundleError(
            BundleCode.TENSORS_HEADER,
            f"{name}: the header claims {length} bytes of a file of {size}",
            f"at most {min(MAX_HEADER, size - 8)}",
        )
    text = data[8 : 8 + length]
    if not text.startswith(b"{"):
        raise BundleError(BundleCode.TENSORS_HEADER, f"{name}: the header does not begin with '{{'")
    try:
        header = load_json(text)
    except ManifestError as error:
        raise BundleError(
            BundleCode.TENSORS_HEADER, f"{name}: header: {error.seen}", error.expected
        ) from None
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BundleError(BundleCode.TENSORS_HEADER, f"{name}: __metadata__ is not a map of text to text")
    entries = {key: _entry(key, value, name) for key, value in header.items()}
    _check_cover(entries, size - 8 - length, name)
    return entries, 8 + length


def _entry(key: str, value: object, name: str) -> TensorEntry:
    def wrong(seen: str, expected: str) -> BundleError:
        return BundleError(BundleCode.TENSORS_ENTRY, f"{name}: tensor {key[:64]!r}: {seen}", expected)

    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise wrong("a malformed entry", "exactly dtype, shape and data_offsets")
    dtype = DTYPES.get(value["dtype"]) if isinstance(value["dtype"], str) else None
    if dtype is None:
        raise wrong(f"dtype {str(value['dtype'])[:32]!r}", "one of " + ", ".join(DTYPES))
    shape = _integers(value["shape"])
    if shape is None or len(shape) > _MAX_RANK:
        raise wrong("a malformed shape", f"at most {_MAX_RANK} integers of at least 0")
    offsets = _integers(value["data_offsets"])
    if offsets is None or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise wrong("malformed data_offsets", "[begin, end] with 0 <= begin <= end")
    need = math.prod(shape) * dtype.itemsize
    if offsets[1] - offsets[0] != need:
        raise BundleError(
            BundleCode.TENSORS_OFFSETS,
            f"{name}: tensor {key[:64]!r} has {offsets[1] - offsets[0]} bytes",
            f"{need} bytes for shape {list(shape)}",
        )
    return TensorEntry(dtype, shape, offsets[0], offsets[1])


def _integers(value: object) -> tuple[int, ...] | None:
    if isinstance(value, list) and all(type(item) is int and item >= 0 for item in value):
        return tuple(value)
    return None


def _check_cover(entries: Mapping[str, TensorEntry], size: int, name: str) -> None:
    reached = 0
    for key, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != reached or entry.end > size:
            raise BundleError(
                BundleCode.TENSORS_OFFSETS,
                f"{name}: tensor {key[:64]!r} has bytes {entry.begin} to {entry.end} of {size}",
                f"begin at {reached}, where the one before it ends",
            )
        reached = entry.end
    if reached != size:
        raise BundleError(
            BundleCode.TENSORS_OFFSETS, f"{name}: {size - reached} bytes belong to no tensor", "none"
        )


def encode_safetensors(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """One file's bytes. Equal tensors give equal bytes: wide element types first (so that all are aligned),
    then by name.

    Raises:
        BundleError: V2V-E1052: an element type that the format does not have, or a bad name.
    """
    order = sorted(tensors, key=lambda key: (-tensors[key].dtype.itemsize, key))
    header: dict[str, Any] = {}
    reached = 0
    for key in order:
        array = tensors[key]
        dtype = array.dtype.newbyteorder("<")
        if dtype not in _NAMES or not key or key == "__metadata__" or array.ndim > _MAX_RANK:
            raise BundleError(
                BundleCode.BAD_VALUE,
                f"tensor {key!r} of type {array.dtype} and rank {array.ndim}",
                f"a name, at most {_MAX_RANK} dimensions, a type of " + ", ".join(map(str, _NAMES)),
            )
        header[key] = {
            "dtype": _NAMES[dtype],
            "shape": list(array.shape),
            "data_offsets": [reached, reached + array.nbytes],
        }
        reached += array.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    parts = [struct.pack("<Q", len(text)), text]
    for key in order:
        array = tensors[key]
        parts.append(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return b"".join(parts)


def write_safetensors(path: str | Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Writes one file, whole or not at all.

    Raises:
        BundleError: V2V-E1051, E1052.
    """
    write_file(Path(path), encode_safetensors(tensors))
