"""Finds TensorRT: which of its flavours is installed, and what its ONNX parser needs to load plugins.

TensorRT's ONNX parser opens the library ``libtensorrt_rtx.so`` by that name when it meets a plugin; the wheel
of TensorRT for RTX holds ``libtensorrt_rtx.so.1`` alone, and the process ends where the name is not found.
The loader reads its search path when a process starts, so a process that builds with plugins is started with
``child_environment()``.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import importlib.util
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from platformdirs import user_cache_path

from v2v_plugins.errors import BackendError

LIBRARY = "libtensorrt_rtx.so"
"""The name that the parser opens."""

_SEARCH_PATH = "LD_LIBRARY_PATH"


@dataclass(frozen=True)
class Flavour:
    """One way in which TensorRT is packaged.

    Attributes:
        name: ``rtx`` or ``full``.
        modules: to be imported in this order; the last one is the API.
    """

    name: str
    modules: tuple[str, ...]


FLAVOURS = (
    Flavour("rtx", ("tensorrt_rtx_libs", "tensorrt_rtx_bindings")),
    Flavour("rtx", ("tensorrt_rtx",)),
    Flavour("full", ("tensorrt",)),
)
"""In order of preference. The first needs the library and binding wheels only, not their meta package."""


def find_tensorrt(flavour: str | None = None) -> Flavour | None:
    """The flavour that ``load`` would take, judged by what is installed; nothing is imported."""
    for item in FLAVOURS:
        if flavour in (None, item.name) and all(importlib.util.find_spec(name) for name in item.modules):
            return item
    return None


def load(flavour: str | None = None) -> ModuleType:
    """The module that holds TensorRT's Python API.

    Args:
        flavour: ``rtx``, ``full``, or None for the first that imports.

    Raises:
        BackendError: none is installed, or none can be imported (V2V-E4701).
    """
    causes = []
    for item in FLAVOURS:
        if flavour not in (None, item.name):
            continue
        try:
            return [importlib.import_module(name) for name in item.modules][-1]
        # A wheel whose library does not fit raises OSError; one whose meta package is a stub, RuntimeError.
        except (ImportError, OSError, RuntimeError) as error:
            causes.append(f"{' + '.join(item.modules)}: {type(error).__name__}: {error}")
    raise BackendError(
        "V2V-E4701",
        f"no TensorRT{f' of flavour {flavour!r}' if flavour else ''} can be imported: {'; '.join(causes)}",
        "one of the packages tensorrt-rtx, tensorrt-rtx-cu12-libs with tensorrt-rtx-cu12-bindings, tensorrt",
        "install the extra: pip install 'v2v-export[rtx]'",
    )


def flavour_of(trt: ModuleType) -> str:
    """``rtx`` or ``full``, of a module that ``load`` returned."""
    return next(item.name for item in FLAVOURS if item.modules[-1] == trt.__name__)


def library_dir(cache: Path | None = None) -> Path:
    """A folder that holds ``libtensorrt_rtx.so``, a link to the installed library; made when it is missing.

    Args:
        cache: where to make it; None: the user's cache folder.

    Raises:
        BackendError: the wheel of the libraries is not installed, or holds no such library (V2V-E4702).
    """
    library = _installed_library()
    # One folder per installed library: environments with their own versions do not disturb each other.
    key = hashlib.sha256(str(library).encode()).hexdigest()[:16]
    folder = (cache or user_cache_path("v2v-export")) / "tensorrt-libraries" / key
    link = folder / LIBRARY
    if not (link.is_symlink() and Path(os.readlink(link)) == library):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as part:
            new = Path(part, LIBRARY)
            new.symlink_to(library)
            new.replace(link)
    return folder


def child_environment(base: Mapping[str, str] | None = None, cache: Path | None = None) -> dict[str, str]:
    """Variables for a child process that builds engines: ``base`` (None: ours), with the link's folder first.

    Where the flavour in use needs no link, ``base`` as it is.
    """
    environment = dict(os.environ if base is None else base)
    found = find_tensorrt()
    if found is None or "tensorrt_rtx_libs" not in found.modules:
        return environment
    path = str(library_dir(cache))
    rest = [item for item in environment.get(_SEARCH_PATH, "").split(os.pathsep) if item and item != path]
    environment[_SEARCH_PATH] = os.pathsep.join([path, *rest])
    return environment


def require_plugins(trt: ModuleType) -> None:
    """Makes sure that the parser may meet a plugin in this process.

    Raises:
        BackendError: it would end the process (V2V-E4703).
    """
    if flavour_of(trt) != "rtx":
        return
    try:
        ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise BackendError(
            "V2V-E4703",
            f"the loader does not find {LIBRARY} ({error}), and TensorRT would end this process at a plugin",
            f"the folder trt_loader.library_dir() on {_SEARCH_PATH} before the process starts",
            "build in a child process that is given trt_loader.child_environment()",
        ) from error


def _installed_library() -> Path:
    spec = importlib.util.find_spec("tensorrt_rtx_libs")
    folders = [Path(item) for item in (spec.submodule_search_locations or [])] if spec else []
    found = sorted(path for folder in folders for path in folder.glob(f"{LIBRARY}.*"))
    if not found:
        raise BackendError(
            "V2V-E4702",
            f"no {LIBRARY}.* in {', '.join(map(str, folders)) or 'the installed packages'}",
            "the library of TensorRT for RTX in the package tensorrt_rtx_libs",
            "install the extra: pip install 'v2v-export[rtx]'",
        )
    return found[0].resolve()
