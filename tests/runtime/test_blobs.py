"""The safetensors reader and writer, against the reference implementation and against attacks."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from numpy.typing import NDArray
from v2v_runtime.blobs import encode_safetensors, parse_safetensors, read_safetensors, write_safetensors
from v2v_runtime.errors import BundleError

F32_PAIR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def tensors() -> dict[str, NDArray[Any]]:
    chance = np.random.default_rng(7)
    return {
        "b": chance.random((2, 3)).astype(np.float16),
        "a": chance.random((3, 1, 2)).astype(np.float32),
        "flag": np.array([True, False, True]),
        "u8": np.arange(5, dtype=np.uint8),
        "count": np.array([-3], np.int32),
        "step": np.array([2**40], np.int64),
        "empty": np.zeros((0, 4), np.float32),
        "scalar": np.array(1.5, np.float64),
        "turned": np.arange(6, dtype=np.int16).reshape(2, 3).T,
        "é": np.array([1], np.uint64),
    }


def file_of(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def code_of(data: bytes) -> str:
    with pytest.raises(BundleError) as caught:
        parse_safetensors(data)
    return str(caught.value.code)


def same(left: dict[str, NDArray[Any]], right: dict[str, NDArray[Any]]) -> None:
    assert left.keys() == right.keys()
    for name, array in left.items():
        assert array.dtype == right[name].dtype
        assert array.shape == right[name].shape
        assert np.array_equal(array, right[name])


def test_reads_what_the_reference_writes(tmp_path: Path) -> None:
    safetensors.numpy.save_file(
        {name: np.array(array, order="C") for name, array in tensors().items()},
        tmp_path / "t.safetensors",
        {"made": "by the reference"},
    )
    same(read_safetensors(tmp_path / "t.safetensors"), tensors())


def test_the_reference_reads_what_is_written(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "t.safetensors", tensors())
    same(safetensors.numpy.load_file(tmp_path / "t.safetensors"), tensors())
    assert os.listdir(tmp_path) == ["t.safetensors"]


def test_equal_tensors_give_equal_bytes() -> None:
    backwards = dict(reversed(tensors().items()))
    assert encode_safetensors(tensors()) == encode_safetensors(backwards)


def test_every_tensor_is_aligned() -> None:
    data = encode_safetensors(tensors())
    (length,) = struct.unpack_from("<Q", data)
    assert length % 8 == 0
    for entry in json.loads(data[8 : 8 + length]).values():
        size = int("".join(c for c in entry["dtype"] if c.isdigit()) or 8) // 8
        assert entry["data_offsets"][0] % size == 0


def test_big_endian_is_turned() -> None:
    found = parse_safetensors(encode_safetensors({"x": np.array([1, 2], ">i4")}))
    assert found["x"].tolist() == [1, 2]


@pytest.mark.parametrize(
    "bad",
    [
        {"x": np.zeros(1, np.complex64)},
        {"x": np.array(["text"])},
        {"": np.zeros(1, np.float32)},
        {"__metadata__": np.zeros(1, np.float32)},
        {"x": np.zeros((1,) * 9, np.float32)},
    ],
)
def test_refuses_to_write(bad: dict[str, NDArray[Any]]) -> None:
    with pytest.raises(BundleError) as caught:
        encode_safetensors(bad)
    assert caught.value.code == "V2V-E1052"


def test_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.safetensors").mkdir()
    with pytest.raises(BundleError) as caught:
        write_safetensors(tmp_path / "t.safetensors", tensors())
    assert caught.value.code == "V2V-E1051"
    assert os.listdir(tmp_path) == ["t.safetensors"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01\0\0",
        file_of({}, length=3),
        file_of({}, length=2**63),
        file_of({}, length=2**64 - 1),
        file_of({}, length=16 * 2**20 + 1) + bytes(17 * 2**20),
        file_of(b" {}"),
        file_of(b"[]"),
        file_of(b"{}x"),
        file_of(b"\xff{}"),
        file_of(b'{"a": NaN}'),
        file_of(b'{"a":' * 100 + b"1" + b"}" * 100),
        file_of(
            b'{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
            b'"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
            b"\0",
        ),
        file_of({"__metadata__": {"a": 1}}),
        file_of({"__metadata__": []}),
    ],
    ids=lambda data: repr(data[:40]),
)
def test_bad_header(data: bytes) -> None:
    assert code_of(data) == "V2V-E1030"


@pytest.mark.parametrize(
    "entry",
    [
        [],
        {},
        {**F32_PAIR, "extra": 1},
        {**F32_PAIR, "dtype": "BF16"},
        {**F32_PAIR, "dtype": "f32"},
        {**F32_PAIR, "dtype": ["F32"]},
        {**F32_PAIR, "shape": [-2]},
        {**F32_PAIR, "shape": [2.0]},
        {**F32_PAIR, "shape": [True, 2]},
        {**F32_PAIR, "shape": "2"},
        {**F32_PAIR, "shape": [1] * 8 + [2]},
        {**F32_PAIR, "data_offsets": [8, 0]},
        {**F32_PAIR, "data_offsets": [-8, 0]},
        {**F32_PAIR, "data_offsets": [0]},
        {**F32_PAIR, "data_offsets": [0, 8, 8]},
        {**F32_PAIR, "data_offsets": {"begin": 0, "end": 8}},
    ],
    ids=str,
)
def test_bad_entry(entry: object) -> None:
    assert code_of(file_of({"x": entry}, bytes(8))) == "V2V-E1031"


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ({"x": {**F32_PAIR, "shape": [3]}}, 8),
        ({"x": {**F32_PAIR, "shape": [2**62, 4]}}, 8),
        ({"x": {**F32_PAIR, "data_offsets": [0, 2**62], "shape": [2**60]}}, 8),
        ({"x": F32_PAIR}, 7),
        ({"x": F32_PAIR}, 9),
        ({"x": {**F32_PAIR, "data_offsets": [8, 16]}}, 16),
        ({"x": F32_PAIR, "y": F32_PAIR}, 8),
        ({"x": F32_PAIR, "y": {**F32_PAIR, "data_offsets": [4, 12]}}, 12),
        ({"x": F32_PAIR, "y": {**F32_PAIR, "data_offsets": [12, 20]}}, 20),
        ({}, 1),
    ],
    ids=str,
)
def test_bad_offsets(header: object, size: int) -> None:
    assert code_of(file_of(header, bytes(size))) == "V2V-E1032"


def test_bool_of_two() -> None:
    header = {"x": {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}}
    assert parse_safetensors(file_of(header, b"\0\1"))["x"].tolist() == [False, True]
    assert code_of(file_of(header, b"\0\2")) == "V2V-E1033"


def test_empty_file_of_no_tensors() -> None:
    assert parse_safetensors(file_of({})) == {}
    assert parse_safetensors(encode_safetensors({})) == {}


def test_every_truncation_is_refused() -> None:
    data = encode_safetensors(tensors())
    for length in range(len(data)):
        with pytest.raises(BundleError):
            parse_safetensors(data[:length])


def test_flips_never_escape_as_other_errors() -> None:
    """A changed byte gives other values or a code of ours, and never takes more memory than the file."""
    data = encode_safetensors(tensors())
    chance = np.random.default_rng(3)
    codes = set()
    for _ in range(2000):
        bad = bytearray(data)
        bad[int(chance.integers(len(bad)))] ^= int(chance.integers(1, 256))
        try:
            found = parse_safetensors(bytes(bad))
        except BundleError as error:
            codes.add(error.code)
        else:
            assert sum(array.nbytes for array in found.values()) <= len(data)
    assert codes == {f"V2V-E103{digit}" for digit in range(4)}
