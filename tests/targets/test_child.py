"""The child process of an engine build: what it tells, and every way in which it can end."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.onnx_nets import node
from support.tensorrt_nets import FLOAT, port, save
from v2v_export.errors import BuildError
from v2v_export.profiles import load_profile
from v2v_export.targets import spawn
from v2v_export.targets.base import EngineRequest, builder, builders

CHILD = """
import os, signal, subprocess, sys, time
from v2v_export.targets import base, child

class Fake:
    name = "fake"
    def build(self, request, report):
        what = request.options["do"]
        report("beginning", 1, 2)
        print("line of the backend's log")
        if what == "refuse":
            from v2v_export.errors import BuildError
            raise BuildError("V2V-E7299", "cannot", "could", "do")
        if what == "exit":
            print("the last word", flush=True); os._exit(7)
        if what == "fill":
            import resource
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
            with open(os.path.join(request.workdir, "engine.bin"), "wb") as file:
                file.write(b"x" * 8192)
        if what == "full":
            try:
                raise OSError(int(request.options["errno"]), "no room", "engine.bin")
            except OSError as error:
                raise RuntimeError("the backend's own words") from error
        if what == "raise":
            raise RuntimeError("a bug")
        if what == "crash":
            print("about to crash", flush=True); os.kill(os.getpid(), signal.SIGSEGV)
        if what == "silent":
            os._exit(0)
        if what == "hang":
            inner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            open(os.path.join(request.workdir, "pids"), "w").write(f"{os.getpid()} {inner.pid}")
            report("hanging")
            time.sleep(600)
        if what == "memory":
            block = bytearray(200 << 20); block[::4096] = b"x" * len(block[::4096])
        open(os.path.join(request.workdir, "engine.bin"), "wb").write(b"engine")
        assert os.environ.get("ASKED") == request.options.get("asked")
        return base.EngineResult("engine.bin", {"kernels": 3})

child.builder = lambda name: Fake()
raise SystemExit(child.main())
"""


@pytest.fixture
def request_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Requests that a builder of this test serves, in a child that is started as every other."""
    (tmp_path / "fake_child.py").write_text(CHILD)
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(spawn, "_MODULE", "fake_child")

    def make(do: str, **options: str) -> EngineRequest:
        work = str(tmp_path / "work")
        return EngineRequest("fake", "full", "x.onnx", work, "float32", {}, {"do": do, **options})

    return make


def _build(request: EngineRequest, **more: Any) -> Any:
    told: list[tuple[str, int | None, int | None]] = []
    result = spawn.build_engine(request, lambda *event: told.append(event), **more)
    return result, told


def test_a_result_with_its_progress(request_for: Any, tmp_path: Path) -> None:
    result, told = _build(request_for("build"))
    assert (result.engine, result.counters) == ("engine.bin", {"kernels": 3})
    assert told == [("beginning", 1, 2)]
    assert (tmp_path / "work" / "engine.bin").read_bytes() == b"engine"


def test_the_environment_of_the_builder(request_for: Any) -> None:
    _build(request_for("build", asked="1"), environment={"ASKED": "1"})


WATCHED = """
import sys
from v2v_export.targets import child

status = child.main()
assert "torch" not in sys.modules
raise SystemExit(status)
"""


@pytest.mark.parametrize(("name", "profile"), [("onnxruntime", "cpu"), ("tensorrt", "rtx4090")])
def test_a_builder_s_process_has_no_torch(
    name: str, profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose memory the engine of a large network needs."""
    made = builder(name)
    if not made.available().ok:
        pytest.skip(made.available().reason)
    (tmp_path / "watched_child.py").write_text(WATCHED)
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(spawn, "_MODULE", "watched_child")
    ports = ([port(edge, FLOAT, 4, 8)] for edge in "xy")
    model = save(tmp_path / "net.onnx", [node("Relu", "x", "y")], *ports)
    resolved = load_profile(profile).to_dict()
    request = EngineRequest(
        name, "net", str(model), str(tmp_path / "work"), "float32", resolved, made.options(resolved)
    )
    environment = {**made.environment(), "V2V_TRUST": str(tmp_path / "trust")}
    assert _build(request, environment=environment)[0].counters


def test_memory_is_the_child_s_own(request_for: Any) -> None:
    """ru_maxrss would tell this process's peak, which is raised here beyond the child's."""
    block = bytearray(600 << 20)
    block[::4096] = b"x" * len(block[::4096])
    small = _build(request_for("build"))[0].peak_memory
    large = _build(request_for("memory"))[0].peak_memory
    assert 0 < small < 300 << 20
    assert large - small > 150 << 20


def test_a_refusal_keeps_its_code(request_for: Any) -> None:
    with pytest.raises(BuildError) as caught:
        _build(request_for("refuse"))
    assert (caught.value.code, caught.value.seen, caught.value.fix) == ("V2V-E7299", "cannot", "do")


def test_a_full_disk_is_told_as_one(request_for: Any) -> None:
    """A file-size limit stands in for the full disk: the kernel refuses the engine's second page."""
    with pytest.raises(BuildError) as caught:
        _build(request_for("fill"))
    assert caught.value.code == "V2V-E7001"
    assert "no room left" in caught.value.seen
    assert "Traceback" not in caught.value.seen


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_behind_the_backend_s_own_error(request_for: Any, number: int) -> None:
    with pytest.raises(BuildError) as caught:
        _build(request_for("full", errno=str(number)))
    assert caught.value.code == "V2V-E7001"
    assert "engine.bin" in caught.value.seen


@pytest.mark.parametrize(
    ("do", "code", "words"),
    [
        ("exit", "V2V-E7101", ["status 7", "the last word", "line of the backend's log"]),
        ("raise", "V2V-E7101", ["status 1", "RuntimeError: a bug"]),
        ("crash", "V2V-E7102", ["SIGSEGV", "about to crash"]),
        ("silent", "V2V-E7103", ["no result"]),
    ],
)
def test_ways_to_end(request_for: Any, do: str, code: str, words: list[str]) -> None:
    with pytest.raises(BuildError) as caught:
        _build(request_for(do))
    assert caught.value.code == code
    for word in words:
        assert word in caught.value.seen


def test_ctrl_c_ends_the_whole_group(request_for: Any, tmp_path: Path) -> None:
    def stop(phase: str, done: int | None, total: int | None) -> None:
        if phase == "hanging":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spawn.build_engine(request_for("hang"), stop)
    _all_gone([int(word) for word in (tmp_path / "work" / "pids").read_text().split()])


def test_a_killed_parent_takes_the_child_along(request_for: Any, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, signal, sys\n"
        "from v2v_export.targets import spawn\n"
        "from v2v_export.targets.base import EngineRequest\n"
        "spawn._MODULE = 'fake_child'\n"
        "def stop(phase, done, total):\n"
        "    if phase == 'hanging': os.kill(os.getpid(), signal.SIGKILL)\n"
        "request = EngineRequest('fake', 'full', 'x', sys.argv[1], 'float32', {}, {'do': 'hang'})\n"
        "spawn.build_engine(request, stop)\n"
    )
    work = tmp_path / "work"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    ended = subprocess.run([sys.executable, str(script), str(work)], env=environment, check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    child, inner = (int(word) for word in (work / "pids").read_text().split())
    try:
        _all_gone([child])
    finally:
        if psutil.pid_exists(inner):  # a grandchild is its builder's own affair; this one is ours to end
            os.kill(inner, signal.SIGKILL)


def _all_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 20
    while (left := [pid for pid in pids if _alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []


def _alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_builders_are_the_files_of_the_folder() -> None:
    folder = Path(spawn.__file__).parent
    assert set(builders()) == {"onnxruntime", "tensorrt"}
    for name in builders():
        assert (folder / f"{name}.py").is_file()
        assert builder(name).name == name


def test_an_unknown_backend() -> None:
    with pytest.raises(BuildError, match=r"E7111[\s\S]*did you mean 'onnxruntime'"):
        builder("onnxrutime")
