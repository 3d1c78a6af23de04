"""Device memory over a stand-in for the CUDA runtime library. Nothing here runs on a GPU."""

from __future__ import annotations

import ctypes
import gc
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from conformance.programs import PROGRAMS
from support.pairs import Footage, Pair, RandomDriver
from support.standins import build_standin
from v2v_runtime.backends.base import ALIGNMENT, Engine, EngineSpec, Run, Tensor
from v2v_runtime.backends.cuda import CudaMemory, CudaRuntime
from v2v_runtime.backends.onnxruntime import open_backend
from v2v_runtime.errors import BackendError
from v2v_runtime.stream import Stream

F32, U8, I64, BOOL = (np.dtype(t) for t in ("float32", "uint8", "int64", "bool"))


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to build the stand-in library with")
    built = tmp_path_factory.mktemp("cudart") / "libstandin.so"
    return str(build_standin(compiler, Path(__file__).with_name("cudart_standin.c"), built))


@pytest.fixture
def cuda(library: str) -> Iterator[CudaRuntime]:
    runtime = CudaRuntime.open(0, (library,))
    yield runtime
    gc.collect()
    runtime.close()


@pytest.fixture
def memory(cuda: CudaRuntime) -> CudaMemory:
    return CudaMemory(cuda)


def waits(library: str) -> int:
    return int(ctypes.CDLL(library).standin_waits())


def test_new_memory_is_zero_and_aligned(memory: CudaMemory) -> None:
    tensor = memory.allocate(F32, (3, 5))
    assert tensor.address % ALIGNMENT == 0
    assert tensor.nbytes == 60
    np.testing.assert_array_equal(tensor.read(), np.zeros((3, 5), np.float32))


def test_what_is_written_is_read(memory: CudaMemory) -> None:
    tensor = memory.allocate(U8, (2, 4, 3))
    for seed in range(5):
        value = np.random.default_rng(seed).integers(0, 256, (2, 8, 3), dtype=np.uint8)[:, ::2]
        tensor.write(value)
        out = np.empty((2, 4, 3), np.uint8)
        assert tensor.read(out) is out
        np.testing.assert_array_equal(out, value)
        np.testing.assert_array_equal(tensor.read(), value)


def test_an_upload_is_not_overtaken_by_the_next(memory: CudaMemory) -> None:
    """Without a wait between them, the pinned bytes of the first would be those of the second."""
    tensor, copies = memory.allocate(F32, (4,)), [memory.allocate(F32, (4,)) for _ in range(6)]
    for index, copy in enumerate(copies):
        tensor.write(np.full(4, index, np.float32))
        copy.copy_from(tensor)
    assert [copy.read()[0] for copy in copies] == [0, 1, 2, 3, 4, 5]


def test_an_upload_after_a_read_waits_for_nothing(memory: CudaMemory, library: str) -> None:
    tensor, other = memory.allocate(F32, (4,)), memory.allocate(F32, (4,))
    for _ in range(3):
        tensor.write(np.ones(4, np.float32))
    other.read()
    before = waits(library)
    tensor.write(np.full(4, 2, np.float32))
    assert waits(library) == before
    np.testing.assert_array_equal(tensor.read(), np.full(4, 2, np.float32))


def test_views_share_memory(memory: CudaMemory) -> None:
    tensor = memory.allocate(I64, (4, 2))
    row = tensor.view(1, 2)
    assert row.shape == (2, 2)
    assert row.address == tensor.address + 16
    row.write(np.arange(4).reshape(2, 2))
    row.view(1, 1).write(np.array([[8, 9]]))
    np.testing.assert_array_equal(tensor.read(), [[0, 0], [0, 1], [8, 9], [0, 0]])
    tensor.view(0, 2).zero()
    np.testing.assert_array_equal(tensor.read(), [[0, 0], [0, 0], [8, 9], [0, 0]])


def test_a_view_keeps_its_memory_alive(memory: CudaMemory) -> None:
    row = memory.allocate(F32, (4, 2)).view(2, 1)
    gc.collect()
    row.write(np.full((1, 2), 7, np.float32))
    np.testing.assert_array_equal(row.read(), [[7, 7]])


def test_scalars_cross_together(memory: CudaMemory, library: str) -> None:
    flags = memory.scalars(BOOL, 3)
    assert [t.address % ALIGNMENT for t in flags.tensors] == [0, 0, 0]
    assert flags.nbytes == 3
    flags.tensors[1].write(np.array([True]))
    before = waits(library)
    np.testing.assert_array_equal(flags.read(), [False, True, False])
    assert waits(library) == before + 1
    counters = memory.scalars(I64, 2)
    for step in range(4):
        counters.write(np.array([step, 10 * step]))
        assert [t.read()[0] for t in counters.tensors] == [step, 10 * step]


def test_memory_goes_back(library: str) -> None:
    used = ctypes.CDLL(library).standin_used
    used.restype = ctypes.c_size_t
    before = used()
    runtime = CudaRuntime.open(0, (library,))
    tensors = [CudaMemory(runtime).allocate(F32, (1000,)) for _ in range(3)]
    for tensor in tensors:
        tensor.read()
        tensor.read()
    assert used() - before == 2 * 3 * 4000
    del tensors, tensor
    gc.collect()
    assert used() == before
    runtime.close()


def test_no_memory_says_so(cuda: CudaRuntime, library: str) -> None:
    handle = ctypes.CDLL(library)
    handle.standin_limit.argtypes = [ctypes.c_size_t]
    try:
        handle.standin_limit(1 << 20)
        with pytest.raises(BackendError, match="V2V-E4013"):
            CudaMemory(cuda).allocate(F32, (1 << 20,))
    finally:
        handle.standin_limit(1 << 30)


def test_no_such_device_says_so(library: str) -> None:
    with pytest.raises(BackendError, match="V2V-E4012"):
        CudaRuntime.open(7, (library,))


def test_no_library_says_so() -> None:
    with pytest.raises(BackendError, match="V2V-E4011"):
        CudaRuntime.open(0, ("libnothing.so.1",))


class StandInBackend:
    """ONNX Runtime's CPU provider over the stand-in's memory: it waits for the stream before each graph."""

    name = "stand-in"

    def __init__(self, cuda: CudaRuntime) -> None:
        self.memory = CudaMemory(cuda)
        self._cuda = cuda
        self._cpu = open_backend({"threads": 1, "spin": False})

    def load(self, spec: EngineSpec) -> Engine:
        return StandInEngine(self._cpu.load(spec), self._cuda)

    def close(self) -> None:
        """The fixture closes the runtime."""


class StandInEngine:
    def __init__(self, engine: Engine, cuda: CudaRuntime) -> None:
        self._engine = engine
        self._cuda = cuda

    def bind(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> Run:
        run, wait = self._engine.bind(inputs, outputs), self._cuda.wait

        def waited() -> None:
            wait()
            run()

        return waited

    def close(self) -> None:
        self._engine.close()


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_programs_play_on_memory_that_copies_late(name: str, cuda: CudaRuntime, tmp_path: Path) -> None:
    """Every kind of copy, read and reset, in the orders that a random user makes."""
    synthetic = PROGRAMS[name]()
    bundle = synthetic.write(tmp_path / "bundle")
    phases = tuple(phase.name for phase in synthetic.program.phases)
    with Stream(bundle, backend=StandInBackend(cuda)) as stream:
        pair = Pair(stream, synthetic)
        driver = RandomDriver(pair, 21, phases, params=bool(synthetic.program.params))
        driver.footage = Footage(21, still=0.93 if name == "lipar" else 0.3)
        for index in range(100):
            driver.step(index)
