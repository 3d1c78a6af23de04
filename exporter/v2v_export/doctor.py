"""What works on this machine, and what to do about what does not.

Every finding is made by looking at the thing itself: a file in its place, a library that imports, an encoder
that is there. Nothing is installed or changed.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from v2v_runtime.backends.ort_module import import_onnxruntime

from v2v_export.bench.machine import gpus, installed

Status = Literal["ok", "warn", "fail"]

_WHEELS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")
_LOW_SPACE_GIB = 5.0


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        status: ``ok``; ``warn``: some uses need it; ``fail``: building or playing does not work.
        fix: what to do; empty when ``ok``.
    """

    what: str
    status: Status
    seen: str
    fix: str = ""


def examine() -> list[Finding]:
    """Every finding, in the order in which a newcomer meets the parts."""
    return [finding for part in _PARTS for finding in part()]


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", "ok", f"{version} at {sys.executable}")


def _packages() -> Iterator[Finding]:
    """What v2v-export pins: other versions may work, but nothing has shown that they do."""
    try:
        required = metadata.requires("v2v-export") or []
    except metadata.PackageNotFoundError:
        yield Finding("v2v-export", "fail", "runs from a source tree", "install it: pip install v2v-export")
        return
    yield Finding("v2v-export", "ok", metadata.version("v2v-export"))
    for line in required:
        pin = re.fullmatch(r"([\w.-]+)(?:\[[^\]]*\])?==([\w.+-]+)", line)
        if pin is None:
            continue
        name, wanted = pin.groups()
        seen = installed(name)
        if seen is None:
            yield Finding(name, "fail", "not installed", f"pip install {name}=={wanted}")
        elif seen.partition("+")[0] != wanted:
            yield Finding(
                name,
                "warn",
                f"{seen}, tested with {wanted}",
                f"pip install {name}=={wanted} if something fails",
            )
        else:
            yield Finding(name, "ok", seen)


def _onnxruntime() -> Iterator[Finding]:
    wheels = {name: version for name in _WHEELS if (version := installed(name))}
    listed = ", ".join(f"{name} {version}" for name, version in wheels.items())
    if not wheels:
        yield Finding(
            "onnxruntime",
            "fail",
            "no wheel is installed",
            'pip install "v2v-runtime[cpu]", or "v2v-runtime[cuda]" for NVIDIA GPUs; never both',
        )
        return
    if len(wheels) > 1:
        names = " ".join(wheels)
        yield Finding(
            "onnxruntime",
            "fail",
            f"{listed}: these install the same module, and overwrite each other's files",
            f"pip uninstall {names}, then install one: v2v-runtime[cpu] or v2v-runtime[cuda]",
        )
        return
    try:
        runtime = import_onnxruntime()
        providers = ", ".join(
            name.removesuffix("ExecutionProvider") for name in runtime.get_available_providers()
        )
    except (ImportError, AttributeError) as error:
        yield Finding(
            "onnxruntime", "fail", f"{listed} does not import: {error}", "pip install --force-reinstall it"
        )
        return
    yield Finding("onnxruntime", "ok", f"{listed}; providers: {providers}")
    if gpus() and "CUDA" not in providers:
        yield Finding(
            "onnxruntime cuda",
            "warn",
            "there is a GPU, and this wheel cannot use it",
            'pip uninstall onnxruntime, then pip install "v2v-runtime[cuda]"',
        )


def _tensorrt() -> Iterator[Finding]:
    from v2v_export.targets.base import builder

    answer = builder("tensorrt").available()
    if answer.ok:
        yield Finding("tensorrt builder", "ok", answer.version)
    else:
        yield Finding(
            "tensorrt builder", "warn", answer.reason, 'pip install "v2v-export[rtx]" to build engines'
        )
    yield from _symlink_trap()


def _symlink_trap() -> Iterator[Finding]:
    """TensorRT for RTX's parser opens the library by a name that its wheel lacks, and ends the process."""
    spec = importlib.util.find_spec("tensorrt_rtx_libs")
    if spec is None or spec.origin is None:
        return
    folder = Path(spec.origin).parent
    if (folder / "libtensorrt_rtx.so").exists():
        yield Finding("tensorrt-rtx library name", "ok", "libtensorrt_rtx.so is there")
        return
    yield Finding(
        "tensorrt-rtx library name",
        "ok",
        "the wheel lacks libtensorrt_rtx.so; v2v-export sets a link for its own builds",
    )


def _gpus() -> Iterator[Finding]:
    found = gpus()
    if found:
        for line in found:
            yield Finding("gpu", "ok", line)
        return
    tool = "nvidia-smi finds none" if shutil.which("nvidia-smi") else "no nvidia-smi"
    yield Finding(
        "gpu",
        "warn",
        f"{tool}: engines for GPUs are built here, and not run",
        "play them, and run `v2v-export verify`, on a machine with the GPU",
    )


def _cache() -> Iterator[Finding]:
    from v2v_export.store import Store

    folder = Store().root
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        yield Finding("build cache", "fail", f"{existing} cannot be written", "give V2V_CACHE another folder")
        return
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**30
    free = shutil.disk_usage(existing).free / 2**30
    seen = f"{folder}: {size:.2f} GiB used, {free:.1f} GiB free"
    if free < _LOW_SPACE_GIB:
        yield Finding("build cache", "warn", seen, "free some space: large models need several GiB each")
    else:
        yield Finding("build cache", "ok", seen)
    temporary = shutil.disk_usage(tempfile.gettempdir()).free / 2**30
    if temporary < 1:
        yield Finding(
            "temporary folder", "warn", f"{temporary:.1f} GiB free", "give TMPDIR a folder with more room"
        )


def _video() -> Iterator[Finding]:
    try:
        av = importlib.import_module("av")
    except ImportError as error:
        yield Finding(
            "video files", "warn", f"PyAV does not import: {error}", 'pip install "v2v-runtime[video]"'
        )
        return
    encoder = "H.264" if "libx264" in av.codecs_available else "MPEG-4 (no H.264 encoder in this PyAV)"
    yield Finding("video files", "ok", f"PyAV {av.__version__}; writes {encoder}")


def _window() -> Iterator[Finding]:
    from v2v_runtime.video.window import window_kind

    try:
        cv2 = importlib.import_module("cv2")
    except ImportError:
        yield Finding(
            "window", "warn", "no OpenCV", "pip install opencv-python to watch a stream in a window"
        )
        return
    kind = window_kind(cv2)
    if kind is None:
        yield Finding(
            "window",
            "warn",
            "this OpenCV has no window",
            "pip install opencv-python in place of the headless one",
        )
    else:
        yield Finding("window", "ok", f"OpenCV {cv2.__version__} with {kind}")


def _compiler() -> Iterator[Finding]:
    compiler = next((path for name in ("g++", "clang++", "c++") if (path := shutil.which(name))), None)
    if compiler is None:
        yield Finding(
            "C++ compiler", "warn", "none found: `bench` leaves torch.compile out", "install g++ or clang++"
        )
    else:
        yield Finding("C++ compiler", "ok", compiler)


def _systems() -> Iterator[Finding]:
    from v2v_export.registry import entries

    for entry in entries():
        if entry.system is None:
            yield Finding(
                f"system {entry.name}",
                "warn",
                entry.problem,
                f"repair or remove {entry.distribution or entry.module}",
            )
        else:
            yield Finding(f"system {entry.name}", "ok", entry.system.title)


_PARTS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _python,
    _packages,
    _onnxruntime,
    _tensorrt,
    _gpus,
    _cache,
    _video,
    _window,
    _compiler,
    _systems,
)
