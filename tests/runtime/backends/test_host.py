"""Tensors in the process's own memory, and graphs as functions."""

from __future__ import annotations

import numpy as np
import pytest
from v2v_runtime.backends.base import ALIGNMENT, EngineSpec, Port
from v2v_runtime.backends.callables import CallableBackend
from v2v_runtime.backends.host import HostMemory
from v2v_runtime.errors import BackendError

F32, U8, I64, BOOL = (np.dtype(t) for t in ("float32", "uint8", "int64", "bool"))


@pytest.mark.parametrize("dtype", [F32, U8, I64, BOOL])
@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 1, 7)])
def test_new_tensors_are_zero_and_aligned(dtype: np.dtype, shape: tuple[int, ...]) -> None:
    tensor = HostMemory().allocate(dtype, shape)
    assert tensor.address % ALIGNMENT == 0
    assert tensor.nbytes == tensor.array.nbytes
    np.testing.assert_array_equal(tensor.read(), np.zeros(shape, dtype))


def test_a_read_is_a_copy_and_a_view_is_not() -> None:
    tensor = HostMemory().allocate(F32, (4, 2))
    kept = tensor.read()
    tensor.view(1, 2).write(np.full((2, 2), 3, np.float32))
    assert kept.sum() == 0
    np.testing.assert_array_equal(tensor.read()[:, 0], [0, 3, 3, 0])
    other = HostMemory().allocate(F32, (2, 2))
    other.copy_from(tensor.view(0, 2))
    np.testing.assert_array_equal(other.read()[:, 0], [0, 3])
    tensor.view(2, 1).zero()
    np.testing.assert_array_equal(tensor.read()[:, 0], [0, 3, 0, 0])


def test_scalars_are_tensors_of_their_own() -> None:
    counters = HostMemory().scalars(I64, 3)
    counters.write(np.array([1, 2, 3]))
    assert [int(t.read()[0]) for t in counters.tensors] == [1, 2, 3]
    assert [t.address % ALIGNMENT for t in counters.tensors] == [0, 0, 0]
    counters.tensors[1].write(np.array([7]))
    np.testing.assert_array_equal(counters.read(), [1, 7, 3])
    assert counters.nbytes == 24


def test_no_memory_says_so() -> None:
    with pytest.raises(BackendError, match="V2V-E4013"):
        HostMemory().allocate(F32, (1 << 50,))


def test_a_function_that_gives_another_type_is_told() -> None:
    spec = EngineSpec("g", None, None, (), (Port("y", F32, (2,)),))
    for wrong in (np.zeros(2), np.zeros(3, np.float32)):
        backend = CallableBackend({"g": lambda given, wrong=wrong: {"y": wrong}})
        run = backend.load(spec).bind({}, {"y": backend.memory.allocate(F32, (2,))})
        with pytest.raises(BackendError, match="V2V-E4007"):
            run()
