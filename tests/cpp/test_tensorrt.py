"""The TensorRT backend of the C++ runtime over stand-ins. Nothing here runs on a GPU."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conformance.programs import PROGRAMS
from support.bundles import make_target
from support.cpp import CppError, CppStream, Library
from support.standins import check_same_frames
from v2v_runtime import trust
from v2v_runtime.backends.jit_cache import JitCache
from v2v_runtime.backends.tensorrt import UNTRUSTED_FIX
from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import write_target
from v2v_runtime.errors import BackendError
from v2v_runtime.stream import Stream

pytestmark = pytest.mark.usefixtures("own_folders")

PLAN = "an engine"
SHA256 = hashlib.sha256(PLAN.encode()).hexdigest()

Json = dict[str, Any]


class Stand:
    """Plays scripts: the backend's answers, and what it asked of TensorRT."""

    def __init__(self, program: Path, cudart: Path) -> None:
        self._command = [program, "script", cudart]

    def play(self, *actions: list[Any], **changes: Any) -> tuple[list[str], str | None]:
        script = {
            "plan": PLAN,
            "engine": PLAN,
            "options": {"trust": SHA256},
            "tensors": [
                ["x", True, "float32", [2, 3]],
                ["y", False, "uint8", [4]],
                ["ok", False, "float32", [1]],
            ],
            "inputs": [["x", "float32", [2, 3], False]],
            "outputs": [["y", "uint8", [4], False], ["ok", "float32", [1], False]],
            "buckets": [],
            "do": list(actions),
        }
        done = subprocess.run(
            self._command, input=json.dumps(script | changes), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        return answer["calls"], answer["error"]


@pytest.fixture
def stand(cpp_build: Path, cudart: Path) -> Stand:
    return Stand(cpp_build / "v2v_tensorrt", cudart)


LOAD = ["load"]
X = ["tensor", "x0", "float32", [2, 3]]
Y = ["tensor", "y0", "uint8", [4]]
BIND = ["bind", {"x": "x0"}, {"y": "y0"}]
RUN = ["run", 0]


def test_an_engine_from_elsewhere_is_refused_before_it_is_loaded(stand: Stand) -> None:
    calls, error = stand.play(LOAD, options={})
    assert error is not None
    assert error.startswith("[V2V-E4401] the engine of graph 'full' was not built here")
    assert SHA256 in error
    assert error.endswith(f"\n  to do: {UNTRUSTED_FIX}")
    assert calls == []


def test_an_engine_whose_hash_is_trusted_is_loaded(stand: Stand) -> None:
    for options in ({"trust": SHA256}, {"trust": ["0" * 64, SHA256]}):
        assert stand.play(LOAD, options=options) == ([f"deserialize {len(PLAN)}"], None)


def test_trust_is_in_the_very_bytes(stand: Stand) -> None:
    calls, error = stand.play(LOAD, engine=PLAN + "!")
    assert error is not None
    assert error.startswith("[V2V-E4401]")
    assert calls == []


def test_an_engine_that_pythons_builder_recorded_is_loaded(stand: Stand) -> None:
    trust.record_built(SHA256)
    assert stand.play(LOAD, options={}) == ([f"deserialize {len(PLAN)}"], None)


def test_a_graph_without_an_engine(stand: Stand) -> None:
    _, error = stand.play(LOAD, engine=None)
    assert error is not None
    assert error.startswith("[V2V-E4005] graph 'full' has no engine in this target")


def test_an_engine_that_tensorrt_refuses(stand: Stand) -> None:
    _, error = stand.play(LOAD, plan="another")
    assert error is not None
    assert error.startswith("[V2V-E4405] TensorRT 1.7.1 refuses the engine of graph 'full': not a plan\n")


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": [["x", "float32", [2, 4], False]]},
        {"inputs": [["x", "uint8", [2, 3], False]]},
        {"inputs": [["z", "float32", [2, 3], False]]},
        {"inputs": []},
        {
            "inputs": [["x", "float32", [2, 3], False], ["y", "uint8", [4], False]],
            "outputs": [["ok", "float32", [1], False]],
        },
        {
            "tensors": [
                ["x", True, None, [2, 3]],
                ["y", False, "uint8", [4]],
                ["ok", False, "float32", [1]],
            ]
        },
    ],
)
def test_ports_that_differ_from_the_manifest(changes: Json, stand: Stand) -> None:
    calls, error = stand.play(LOAD, **changes)
    assert error is not None
    assert error.startswith("[V2V-E4008] port ")
    assert calls == [f"deserialize {len(PLAN)}"]


def test_a_run_binds_every_port_once_and_queues_on_the_stream(stand: Stand) -> None:
    other = ["tensor", "y1", "uint8", [4]]
    again = ["bind", {"x": "x0"}, {"y": "y1"}]
    calls, error = stand.play(LOAD, X, Y, other, BIND, again, ["forget"], RUN, RUN, ["run", 1], RUN)
    assert error is None
    # An output that nobody wants has an address too, which is none of the others'.
    first = ["address ok another", "address x x0", "address y y0"]
    assert sorted(calls[:3]) == first
    assert calls[3:5] == ["run", "run"]  # the same run again: nothing to bind
    assert sorted(calls[5:8]) == ["address ok another", "address x x0", "address y y1"]
    assert calls[8] == "run"
    assert sorted(calls[9:12]) == first
    assert calls[12:] == ["run"]


def test_a_run_in_the_place_of_one_that_has_gone_is_bound(stand: Stand) -> None:
    other = ["tensor", "y1", "uint8", [4]]
    again = ["bind", {"x": "x0"}, {"y": "y1"}]
    calls, error = stand.play(LOAD, X, Y, other, BIND, RUN, ["drop", 0], again, ["forget"], ["run", 1])
    assert error is None
    assert sorted(calls) == ["address ok another", "address x x0", "address y y1", "run"]


def test_a_run_that_is_bound_anew_gives_its_addresses_again(stand: Stand) -> None:
    other = ["tensor", "y1", "uint8", [4]]
    again = ["rebind", 0, {"x": "x0"}, {"y": "y1"}]
    calls, error = stand.play(LOAD, X, Y, other, BIND, RUN, again, ["forget"], RUN)
    assert error is None
    assert sorted(calls) == ["address ok another", "address x x0", "address y y1", "run"]


def test_a_run_that_fails_says_why_and_the_next_one_binds_again(stand: Stand) -> None:
    _, error = stand.play(LOAD, X, Y, BIND, ["refuse", "run"], RUN)
    assert error is not None
    assert error.startswith("[V2V-E4007] TensorRT, graph 'full': the stand-in refuses")
    _, error = stand.play(LOAD, X, Y, BIND, ["refuse", "address"], RUN)
    assert error is not None
    assert error.startswith("[V2V-E4007]")


def test_no_room_for_a_context(stand: Stand) -> None:
    _, error = stand.play(LOAD, X, Y, ["refuse", "context"], BIND)
    assert error is not None
    assert error.startswith("[V2V-E4405] TensorRT makes no context for graph 'full': no room\n")


ROWS: Json = {
    "tensors": [["x", True, "float32", [-1, 3]], ["y", False, "float32", [16, 3]]],
    "inputs": [["x", "float32", [64, 3], True]],
    "outputs": [["y", "float32", [64, 3], True]],
    "buckets": [16, 64],
}
LARGE = [["tensor", "x0", "float32", [64, 3]], ["tensor", "y0", "float32", [64, 3]]]


def test_each_bucket_has_its_shape_profile(stand: Stand) -> None:
    small = [["view", "x1", "x0", 16], ["view", "y1", "y0", 16]]
    parts = ["bind", {"x": "x1"}, {"y": "y1"}]
    calls, error = stand.play(LOAD, *LARGE, *small, parts, BIND, parts, RUN, ["run", 1], **ROWS)
    assert error is None
    told = [call for call in calls if call.startswith(("profile", "shape", "context"))]
    assert told == [
        "context ",
        "profile 0",
        "shape x [16, 3]",
        "context k",
        "profile 1",
        "shape x [64, 3]",
    ]


def test_a_run_that_is_bound_anew_to_other_rows_changes_its_context(stand: Stand) -> None:
    """Back at the first rows it finds the context that it left, without the addresses that it had there."""
    small = [["view", "x1", "x0", 16], ["view", "y1", "y0", 16]]
    ports = {"x": "x1"}, {"y": "y1"}
    to_large, to_small = ["rebind", 0, {"x": "x0"}, {"y": "y0"}], ["rebind", 0, *ports]
    steps = [["bind", *ports], RUN, to_large, RUN, to_small, RUN]
    calls, error = stand.play(LOAD, *LARGE, *small, *steps, **ROWS)
    assert error is None
    told = [call for call in calls if call.startswith(("profile", "shape", "run"))]
    assert told == ["profile 0", "shape x [16, 3]", "run", "profile 1", "shape x [64, 3]", "run", "run"]
    assert sorted(calls[-3:]) == ["address x x1", "address y y1", "run"]


def test_rows_that_are_no_bucket(stand: Stand) -> None:
    views = [["view", "x1", "x0", 17], ["view", "y1", "y0", 17]]
    _, error = stand.play(LOAD, *LARGE, *views, ["bind", {"x": "x1"}, {"y": "y1"}], **ROWS)
    assert error is not None
    assert error.startswith("[V2V-E4008] 17 rows at graph 'full'\n  expected: one of its buckets: 16, 64")


def test_compiled_kernels_are_kept_where_python_keeps_them(stand: Stand, tmp_path: Path) -> None:
    for before in ("", "k", "kk"):
        calls, _ = stand.play(LOAD, X, Y, BIND)
        assert calls[-1] == f"context {before}"
    (file,) = (tmp_path / "jit" / "below").iterdir()
    assert file == JitCache(f"{SHA256} 1.7.1 a GPU 13000").path
    assert file.read_bytes() == b"kkk"
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_a_cache_that_cannot_be_written_costs_nothing_else(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("V2V_JIT_CACHE", str(tmp_path / "file" / "below"))
    assert stand.play(LOAD, X, Y, BIND, RUN)[1] is None


def with_engines(name: str, folder: Path, **options: Any) -> Path:
    """A synthetic program's bundle and a target for TensorRT, whose engines are the graphs' ONNX files."""
    program = PROGRAMS[name]()
    root = program.write(folder / name).root
    target = make_target(
        profile="rtx4090",
        backend="tensorrt",
        status="built",
        options={"flavour": "rtx", "compute_capability": "8.9", **options},
        engines={graph: f"{graph}.plan" for graph in program.onnx()},
    )
    write_target(root, target, {f"{graph}.plan": data for graph, data in program.onnx().items()})
    return root


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_engines_of_a_target_give_the_frames_of_its_graphs(
    name: str, cpp_build: Path, cudart: Path, tmp_path: Path
) -> None:
    """The whole machine over the backend; the stand-in runs each engine by ONNX Runtime."""
    root = with_engines(name, tmp_path)
    for plan in root.glob("targets/*/*.plan"):
        trust.record_built(hashlib.sha256(plan.read_bytes()).hexdigest())
    check_same_frames(cpp_build / "v2v_tensorrt", "play", root, cudart, 60)


def target_hash(root: Path) -> str:
    """What ``sha256sum`` prints of the target's ``target.json``."""
    (document,) = root.glob("targets/rtx4090.tensorrt/target.json")
    return hashlib.sha256(document.read_bytes()).hexdigest()


def test_the_hash_of_a_target_is_trust_in_all_engines_that_it_lists(
    cpp_build: Path, cudart: Path, tmp_path: Path
) -> None:
    root = with_engines("std", tmp_path)
    command = [cpp_build / "v2v_tensorrt", "play", root, cudart, 3]
    for trusted in (target_hash(root), ["0" * 64, target_hash(root)]):
        check_same_frames(*command, json.dumps({"trust": trusted}))


def test_neither_a_bundles_identity_nor_the_hash_of_other_engines_is_trust(
    cpp_build: Path, cudart: Path, tmp_path: Path
) -> None:
    root = with_engines("std", tmp_path)
    trusted = target_hash(root)
    plan = sorted(root.glob("targets/*/*.plan"))[0]
    bundle = Bundle.open(root)
    target = bundle.target("rtx4090")
    files: dict[str, bytes] = {path.name: path.read_bytes() for path in root.glob("targets/*/*.plan")}
    write_target(root, target, {**files, plan.name: b"other native code"})
    assert Bundle.open(root).manifest.identity == bundle.manifest.identity
    for word in (trusted, bundle.manifest.identity):
        command = [cpp_build / "v2v_tensorrt", "play", root, cudart, "3", json.dumps({"trust": word})]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stderr.startswith("[V2V-E4401]"), done.stderr


def test_a_target_does_not_get_to_trust_its_own_engines(library: Library, tmp_path: Path) -> None:
    root = with_engines("std", tmp_path, trust=[SHA256])
    handle = library.open(root)
    with pytest.raises(CppError) as cpp:
        CppStream(library, handle)
    with pytest.raises(BackendError) as python:
        Stream(Bundle.open(root))
    assert str(cpp.value) == str(python.value)
    assert python.value.code == "V2V-E4009"
    assert library.destroy("bundle", handle) == 0


def test_an_engine_that_changed_on_disk_is_refused(cpp_build: Path, cudart: Path, tmp_path: Path) -> None:
    root = with_engines("std", tmp_path)
    (plan, *_) = sorted(root.glob("targets/*/*.plan"))
    data = bytearray(plan.read_bytes())
    data[-1] ^= 1
    plan.write_bytes(data)
    done = subprocess.run(
        [cpp_build / "v2v_tensorrt", "play", root, cudart, "1"], capture_output=True, text=True, check=False
    )
    assert done.stderr.startswith("[V2V-E1012] targets/rtx4090.tensorrt/")


def test_a_library_without_the_backend_says_how_to_get_it(
    library: Library, cmake_cache: dict[str, str], tmp_path: Path
) -> None:
    if cmake_cache["TENSORRT_ROOT"]:
        pytest.skip("this build has the TensorRT backend")
    handle = library.open(with_engines("std", tmp_path))
    with pytest.raises(CppError, match="TENSORRT_ROOT") as caught:
        CppStream(library, handle)
    assert caught.value.code == "V2V-E4002"
    assert library.destroy("bundle", handle) == 0
