"""The TensorRT backend against stand-ins: refusals, the order of calls, shape profiles. No GPU is needed.

What a GPU would show, that an engine gives the right numbers, is not tested anywhere in this project.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.tensorrt_standins import BYTE, FLOAT, PLAN, SHA256, FakeEngine, Stand, engine_spec, fake_engine
from v2v_runtime import trust
from v2v_runtime.backends import open_backend
from v2v_runtime.backends.base import EngineSpec, Port
from v2v_runtime.backends.host import HostMemory
from v2v_runtime.backends.nvidia import Gpu
from v2v_runtime.backends.tensorrt import Options, TensorRTBackend
from v2v_runtime.errors import BackendError


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2V_TRUST", str(tmp_path / "trust"))
    monkeypatch.setenv("V2V_JIT_CACHE", str(tmp_path / "jit"))


def test_an_engine_from_elsewhere_is_refused_before_it_is_loaded() -> None:
    stand = Stand(fake_engine())
    with pytest.raises(BackendError) as caught:
        stand.backend.load(engine_spec())
    assert caught.value.code == "V2V-E4401"
    assert SHA256 in caught.value.seen
    assert stand.runtime.loaded == []


def test_an_engine_whose_hash_is_trusted_is_loaded() -> None:
    stand = Stand(fake_engine(), trust=[SHA256])
    stand.backend.load(engine_spec())
    assert stand.runtime.loaded == [PLAN]


def test_trust_is_in_the_very_bytes() -> None:
    stand = Stand(fake_engine(), trust=[SHA256])
    with pytest.raises(BackendError) as caught:
        stand.backend.load(engine_spec(PLAN + b"!"))
    assert caught.value.code == "V2V-E4401"
    assert stand.runtime.loaded == []


def test_an_engine_that_was_built_here_is_loaded() -> None:
    trust.record_built(SHA256)
    assert trust.built_here(SHA256)
    stand = Stand(fake_engine())
    stand.backend.load(engine_spec())
    assert stand.runtime.loaded == [PLAN]


@pytest.mark.parametrize("name", ["", "../trust", SHA256.upper(), SHA256 + "0"])
def test_only_hashes_are_recorded(name: str) -> None:
    with pytest.raises(ValueError, match="no sha256"):
        trust.record_built(name)
    assert not trust.built_here(name)


def test_host_code_in_an_engine_is_never_allowed() -> None:
    stand = Stand(fake_engine())
    assert stand.runtime.engine_host_code_allowed is False


def test_a_graph_without_an_engine() -> None:
    with pytest.raises(BackendError) as caught:
        Stand(fake_engine()).backend.load(engine_spec(None))
    assert caught.value.code == "V2V-E4005"


def test_an_engine_that_tensorrt_refuses() -> None:
    other = b"something else"
    stand = Stand(fake_engine(), trust=[hashlib.sha256(other).hexdigest()])
    with pytest.raises(BackendError) as caught:
        stand.backend.load(engine_spec(other))
    assert caught.value.code == "V2V-E4405"
    assert "not a plan" in caught.value.seen


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": (Port("x", FLOAT, (2, 4)),)},
        {"inputs": (Port("x", BYTE, (2, 3)),)},
        {"inputs": (Port("z", FLOAT, (2, 3)),)},
        {"inputs": ()},
        {"inputs": (Port("x", FLOAT, (2, 3)), Port("y", BYTE, (4,))), "outputs": (Port("ok", FLOAT, (1,)),)},
    ],
)
def test_ports_that_differ_from_the_manifest(changes: dict[str, Any]) -> None:
    with pytest.raises(BackendError) as caught:
        Stand(fake_engine(), trust=SHA256).backend.load(engine_spec(**changes))
    assert caught.value.code == "V2V-E4008"


def test_a_run_binds_every_port_once_and_queues_on_the_stream() -> None:
    fake = fake_engine()
    stand = Stand(fake, trust=SHA256)
    engine = stand.backend.load(engine_spec())
    x, y = stand.memory.allocate(FLOAT, (2, 3)), stand.memory.allocate(BYTE, (4,))
    other = stand.memory.allocate(BYTE, (4,))
    first, second = engine.bind({"x": x}, {"y": y}), engine.bind({"x": x}, {"y": other})
    fake.calls.clear()
    first()
    first()
    second()
    waste = next(call[2] for call in fake.calls if call[1] == "ok")
    assert waste not in (0, x.address, y.address)  # an output that nobody wants has an address too
    common = [("address", "x", x.address), ("address", "ok", waste)]
    assert sorted(fake.calls[:3]) == sorted([*common, ("address", "y", y.address)])
    assert fake.calls[3:5] == [("run", 77), ("run", 77)]  # the same run again: nothing to bind
    assert sorted(fake.calls[5:8]) == sorted([*common, ("address", "y", other.address)])
    assert fake.calls[8:] == [("run", 77)]
    assert len(fake.contexts) == 1


def test_a_run_keeps_its_tensors_and_the_engine_does_not() -> None:
    stand = Stand(fake_engine(), trust=SHA256)
    engine = stand.backend.load(engine_spec())
    x, y = stand.memory.allocate(FLOAT, (2, 3)), stand.memory.allocate(BYTE, (4,))
    array = weakref.ref(y.array)
    run = engine.bind({"x": x}, {"y": y})
    del y
    gc.collect()
    assert array() is not None
    run()
    del run
    gc.collect()
    assert array() is None


def test_a_run_that_fails_says_why() -> None:
    fake = fake_engine()
    stand = Stand(fake, trust=SHA256)
    engine = stand.backend.load(engine_spec())
    x, y = stand.memory.allocate(FLOAT, (2, 3)), stand.memory.allocate(BYTE, (4,))
    run = engine.bind({"x": x}, {"y": y})
    fake.contexts[0].good = False
    with pytest.raises(BackendError) as caught:
        run()
    assert caught.value.code == "V2V-E4007"
    assert "'full'" in caught.value.seen


def _rows() -> tuple[FakeEngine, EngineSpec]:
    fake = FakeEngine({"x": (True, FLOAT, (-1, 3)), "y": (False, FLOAT, (16, 3))})
    spec = engine_spec(
        inputs=(Port("x", FLOAT, (64, 3), rows=True),),
        outputs=(Port("y", FLOAT, (64, 3), rows=True),),
        buckets=(16, 64),
    )
    return fake, spec


def test_each_bucket_has_its_shape_profile() -> None:
    fake, spec = _rows()
    stand = Stand(fake, trust=SHA256)
    engine = stand.backend.load(spec)
    x, y = stand.memory.allocate(FLOAT, (64, 3)), stand.memory.allocate(FLOAT, (64, 3))
    small = engine.bind({"x": x.view(0, 16)}, {"y": y.view(0, 16)})
    engine.bind({"x": x}, {"y": y})
    engine.bind({"x": x.view(0, 16)}, {"y": y.view(0, 16)})
    told = [call for call in fake.calls if call[0] in ("profile", "shape")]
    assert told == [("profile", 0, 77), ("shape", "x", (16, 3)), ("profile", 1, 77), ("shape", "x", (64, 3))]
    assert len(fake.contexts) == 2
    small()
    assert fake.contexts[0].calls[-1] == ("run", 77)


def test_rows_that_are_no_bucket() -> None:
    fake, spec = _rows()
    stand = Stand(fake, trust=SHA256)
    engine = stand.backend.load(spec)
    x, y = stand.memory.allocate(FLOAT, (64, 3)), stand.memory.allocate(FLOAT, (64, 3))
    with pytest.raises(BackendError) as caught:
        engine.bind({"x": x.view(0, 17)}, {"y": y.view(0, 17)})
    assert caught.value.code == "V2V-E4008"


def test_compiled_kernels_are_kept_for_the_next_start(tmp_path: Path) -> None:
    for before in (b"", b"k", b"kk"):
        fake = fake_engine()
        stand = Stand(fake, trust=SHA256)
        x, y = stand.memory.allocate(FLOAT, (2, 3)), stand.memory.allocate(BYTE, (4,))
        stand.backend.load(engine_spec()).bind({"x": x}, {"y": y})
        assert fake.calls == [("cache", before)]
    (file,) = (tmp_path / "jit").iterdir()
    assert file.read_bytes() == b"kkk"


def test_a_cache_that_cannot_be_written_costs_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("V2V_JIT_CACHE", str(tmp_path / "file" / "below"))
    stand = Stand(fake_engine(), trust=SHA256)
    x, y = stand.memory.allocate(FLOAT, (2, 3)), stand.memory.allocate(BYTE, (4,))
    stand.backend.load(engine_spec()).bind({"x": x}, {"y": y})()


@pytest.mark.parametrize(
    "options", [{"flavor": "rtx"}, {"flavour": "9"}, {"device": -1}, {"device": True}, {"trust": [1]}]
)
def test_options_that_are_wrong(options: dict[str, Any]) -> None:
    with pytest.raises(BackendError) as caught:
        open_backend("tensorrt", options)
    assert caught.value.code == "V2V-E4009"


def test_another_gpu_than_the_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("v2v_runtime.backends.tensorrt.find_gpu", lambda index: Gpu("a GPU", "8.6", 13000))
    with pytest.raises(BackendError) as caught:
        open_backend("tensorrt", {"flavour": "rtx", "compute_capability": "8.9", "workspace_mib": 64})
    assert caught.value.code == "V2V-E4403"
    assert "8.6" in caught.value.seen


def test_without_a_gpu_the_backend_says_so() -> None:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        pass
    else:
        pytest.skip("there is an NVIDIA driver here")
    with pytest.raises(BackendError) as caught:
        open_backend("tensorrt", {"flavour": "rtx", "compute_capability": "8.9"})
    assert caught.value.code == "V2V-E4402"
    assert "cpu target" in caught.value.fix


def test_the_real_library_refuses_what_is_no_engine() -> None:
    pytest.importorskip("tensorrt_rtx_libs")
    trt = pytest.importorskip("tensorrt_rtx_bindings")
    cuda = SimpleNamespace(stream=77, select=lambda: None, close=lambda: None)
    options = Options.read({"trust": [SHA256]})
    backend = TensorRTBackend(trt, options, Gpu("a GPU", "8.9", 13000), HostMemory(), cuda)
    with pytest.raises(BackendError) as caught:
        backend.load(engine_spec())
    assert caught.value.code == "V2V-E4405"
    assert "gave no reason" not in caught.value.seen
