"""The ONNX Runtime backend on its CPU provider: options, what it refuses to load, bindings."""

from __future__ import annotations

import gc
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
from v2v_runtime.backends import BACKENDS, onnxruntime, open_backend
from v2v_runtime.backends.base import Backend, EngineSpec, Port
from v2v_runtime.errors import BackendError

F32, F16, I64, BOOL, U8 = (np.dtype(t) for t in ("float32", "float16", "int64", "bool", "uint8"))
DOUBLE = "g (float[2,3] x) => (float[2,3] y) <float two = {2}> { y = Mul(x, two) }"


def model(folder: Path, text: str, opset: int = 18, ir: int = 10, name: str = "g.onnx") -> Path:
    header = f'<ir_version: {ir}, opset_import: ["" : {opset}]>\n'
    path = folder / name
    path.write_bytes(onnx.parser.parse_model(header + text).SerializeToString())
    return path


def spec(
    path: Path, inputs: dict[str, Any], outputs: dict[str, Any], rows: tuple[str, ...] = ()
) -> EngineSpec:
    def ports(given: dict[str, Any]) -> tuple[Port, ...]:
        return tuple(Port(name, dtype, shape, name in rows) for name, (dtype, shape) in given.items())

    return EngineSpec("g", path, None, ports(inputs), ports(outputs), (2, 4) if rows else ())


@pytest.fixture
def backend() -> Backend:
    return open_backend("onnxruntime", {"threads": 1})


XY = {"x": (F32, (2, 3))}, {"y": (F32, (2, 3))}


def test_a_bound_run_reads_and_writes_the_callers_tensors(backend: Backend, tmp_path: Path) -> None:
    engine = backend.load(spec(model(tmp_path, DOUBLE), *XY))
    x, y = backend.memory.allocate(F32, (2, 3)), backend.memory.allocate(F32, (2, 3))
    run = engine.bind({"x": x}, {"y": y})
    for factor in (1, 5):
        x.write(np.full((2, 3), factor, np.float32))
        run()
        np.testing.assert_array_equal(y.read(), np.full((2, 3), 2 * factor, np.float32))


def test_a_bound_run_keeps_its_tensors_alive(backend: Backend, tmp_path: Path) -> None:
    engine = backend.load(spec(model(tmp_path, DOUBLE), *XY))
    x, y = backend.memory.allocate(F32, (2, 3)), backend.memory.allocate(F32, (2, 3))
    x.write(np.ones((2, 3), np.float32))
    seen = y.view(0, 2)
    run = engine.bind({"x": x}, {"y": y})
    references = sys.getrefcount(x), sys.getrefcount(y)
    del run
    gc.collect()
    assert (sys.getrefcount(x), sys.getrefcount(y)) == (references[0] - 1, references[1] - 1)
    assert seen.read().sum() == 0


def test_views_bind_at_their_own_address(backend: Backend, tmp_path: Path) -> None:
    engine = backend.load(spec(model(tmp_path, DOUBLE), *XY))
    x, y = backend.memory.allocate(F32, (6, 3)), backend.memory.allocate(F32, (6, 3))
    x.write(np.arange(18, dtype=np.float32).reshape(6, 3))
    engine.bind({"x": x.view(2, 2)}, {"y": y.view(4, 2)})()
    np.testing.assert_array_equal(y.read(), [[0] * 3] * 4 + [[12, 14, 16], [18, 20, 22]])


def test_outputs_left_out_are_thrown_away(backend: Backend, tmp_path: Path) -> None:
    text = "g (float[2,3] x) => (float[2,3] y, float[2,3] z) { y = Neg(x)\n z = Abs(x) }"
    both = {"y": (F32, (2, 3)), "z": (F32, (2, 3))}
    engine = backend.load(spec(model(tmp_path, text), XY[0], both))
    x, z = backend.memory.allocate(F32, (2, 3)), backend.memory.allocate(F32, (2, 3))
    x.write(np.full((2, 3), -3, np.float32))
    engine.bind({"x": x}, {"z": z})()
    np.testing.assert_array_equal(z.read(), np.full((2, 3), 3, np.float32))


def test_one_engine_runs_every_bucket(backend: Backend, tmp_path: Path) -> None:
    text = "g (float[N,3] x, float[3] b) => (float[N,3] y) { y = Add(x, b) }"
    given = {"x": (F32, (4, 3)), "b": (F32, (3,))}
    engine = backend.load(spec(model(tmp_path, text), given, {"y": (F32, (4, 3))}, rows=("x", "y")))
    x, y, b = (backend.memory.allocate(F32, shape) for shape in ((4, 3), (4, 3), (3,)))
    x.write(np.ones((4, 3), np.float32))
    for rows in (4, 2):
        y.zero()
        engine.bind({"x": x.view(0, rows), "b": b}, {"y": y.view(0, rows)})()
        np.testing.assert_array_equal(y.read()[:, 0], [1] * rows + [0] * (4 - rows))


@pytest.mark.parametrize(
    ("dtype", "word"), [(F16, "float16"), (I64, "int64"), (BOOL, "bool"), (U8, "uint8"), (F32, "float")]
)
def test_every_type_binds(backend: Backend, tmp_path: Path, dtype: np.dtype[Any], word: str) -> None:
    path = model(tmp_path, f"g ({word}[4] x) => ({word}[4] y) {{ y = Identity(x) }}")
    engine = backend.load(spec(path, {"x": (dtype, (4,))}, {"y": (dtype, (4,))}))
    x, y = backend.memory.allocate(dtype, (4,)), backend.memory.allocate(dtype, (4,))
    value = np.array([1, 0, 1, 1]).astype(dtype)
    x.write(value)
    engine.bind({"x": x}, {"y": y})()
    np.testing.assert_array_equal(y.read(), value)


def test_a_run_that_fails_is_a_backend_error(backend: Backend, tmp_path: Path) -> None:
    text = "g (float[2,3] x, int64[1] i) => (float[1,3] y) { y = Gather(x, i) }"
    given = {**XY[0], "i": (I64, (1,))}
    engine = backend.load(spec(model(tmp_path, text), given, {"y": (F32, (1, 3))}))
    x, i, y = (backend.memory.allocate(t, s) for t, s in ((F32, (2, 3)), (I64, (1,)), (F32, (1, 3))))
    i.write(np.array([9]))
    run = engine.bind({"x": x, "i": i}, {"y": y})
    with pytest.raises(BackendError, match="V2V-E4007"):
        run()
    i.write(np.array([1]))
    run()


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"x": (F32, (2, 3)), "more": (F32, (1,))}, XY[1]),
        (XY[0], {"z": (F32, (2, 3))}),
        (XY[0], {}),
        ({"x": (F32, (3, 2))}, XY[1]),
        ({"x": (F32, (6,))}, XY[1]),
        ({"x": (F16, (2, 3))}, XY[1]),
        (XY[0], {"y": (I64, (2, 3))}),
    ],
    ids=["more", "name", "missing", "shape", "rank", "float16", "type"],
)
def test_ports_that_differ_from_the_manifest(
    backend: Backend, tmp_path: Path, inputs: dict[str, Any], outputs: dict[str, Any]
) -> None:
    with pytest.raises(BackendError, match="V2V-E4008"):
        backend.load(spec(model(tmp_path, DOUBLE), inputs, outputs))


def test_a_free_axis_is_for_rows_only(backend: Backend, tmp_path: Path) -> None:
    path = model(tmp_path, "g (float[N,3] x) => (float[N,3] y) { y = Neg(x) }")
    with pytest.raises(BackendError, match="V2V-E4008"):
        backend.load(spec(path, *XY))


def test_files_that_are_no_models(backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"V2V-E4005.*is not a file"):
        backend.load(spec(tmp_path / "nothing.onnx", *XY))
    good = model(tmp_path, DOUBLE).read_bytes()
    for name, data in {"empty": b"", "text": b"hello", "half": good[: len(good) // 2]}.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(data)
        with pytest.raises(BackendError) as caught:
            backend.load(spec(path, *XY))
        assert caught.value.code in ("V2V-E4005", "V2V-E4008")


def test_an_operator_that_nobody_knows(backend: Backend, tmp_path: Path) -> None:
    text = "g (float[2,3] x) => (float[2,3] y) { y = Frobnicate(x) }"
    with pytest.raises(BackendError, match=r"V2V-E4005[\s\S]*Frobnicate"):
        backend.load(spec(model(tmp_path, text), *XY))


@pytest.mark.parametrize(("opset", "ir"), [(99, 10), (18, 99)])
def test_models_newer_than_the_runtime(backend: Backend, tmp_path: Path, opset: int, ir: int) -> None:
    with pytest.raises(BackendError, match=r"V2V-E4006[\s\S]*upgrade onnxruntime"):
        backend.load(spec(model(tmp_path, DOUBLE, opset, ir), *XY))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"treads": 1}, "did you mean 'threads'"),
        ({"provider": "coreml"}, "'cpu' or 'cuda'"),
        ({"threads": -1}, "0 to 1024"),
        ({"threads": True}, "0 to 1024"),
        ({"threads": 1.0}, "0 to 1024"),
        ({"device": "0"}, "0 to 1024"),
        ({"spin": 1}, "true or false"),
        ({"optimization": "most"}, "all, extended, basic, none"),
    ],
)
def test_wrong_options(options: dict[str, Any], told: str) -> None:
    with pytest.raises(BackendError, match="V2V-E4009") as caught:
        open_backend("onnxruntime", options)
    assert told in str(caught.value)


@pytest.mark.parametrize("level", ["all", "extended", "basic", "none"])
def test_every_optimisation_level_loads(tmp_path: Path, level: str) -> None:
    backend = open_backend("onnxruntime", {"optimization": level, "spin": False, "threads": 1})
    backend.load(spec(model(tmp_path, DOUBLE), *XY)).close()
    backend.close()


def test_no_cuda_provider_says_what_to_install() -> None:
    import onnxruntime as ort

    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this onnxruntime has the CUDA provider")
    with pytest.raises(BackendError, match=r"V2V-E4004[\s\S]*v2v-runtime\[cuda\]"):
        open_backend("onnxruntime", {"provider": "cuda"})


def test_no_onnxruntime_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError, match=r"V2V-E4002[\s\S]*v2v-runtime\[cpu\]"):
        open_backend("onnxruntime", {})


def test_both_wheels_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    found = metadata.version

    def version(name: str) -> str:
        return "1.31.1" if name == "onnxruntime-gpu" else found(name)

    monkeypatch.setattr(onnxruntime.metadata, "version", version)
    with pytest.raises(BackendError, match=r"V2V-E4003[\s\S]*pip uninstall -y onnxruntime onnxruntime-gpu"):
        open_backend("onnxruntime", {})


def test_backends_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendError, match=r"V2V-E4001[\s\S]*did you mean onnxruntime"):
        open_backend("onnxrutime", {})
    monkeypatch.setitem(BACKENDS, "absent", "v2v_runtime.backends.absent")
    with pytest.raises(BackendError, match="V2V-E4002"):
        open_backend("absent", {})
    assert all(module.startswith("v2v_runtime.backends.") for module in BACKENDS.values())
