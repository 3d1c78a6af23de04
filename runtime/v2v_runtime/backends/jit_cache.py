"""Kernels that TensorRT for RTX compiles at run time, kept in the user's cache folder, never in a bundle.

A cache is good for one engine, one version, one GPU model and one driver, and its name is made of these. A
cache that cannot be read or written costs seconds at the next start and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

from v2v_runtime.atomic import write_file
from v2v_runtime.errors import BundleError

FOLDER = "V2V_JIT_CACHE"
"""Environment variable: another folder for the caches."""


class JitCache:
    """The cache of one engine.

    Args:
        key: what it is good for, in words; hashed into its name.
    """

    def __init__(self, key: str) -> None:
        self.path = _folder() / f"{hashlib.sha256(key.encode()).hexdigest()}.bin"

    def create_context(self, engine: Any) -> Any:
        """An execution context, with the cache where the engine's TensorRT has one; None if it refuses."""
        if not hasattr(engine, "create_runtime_config"):
            return engine.create_execution_context()
        config = engine.create_runtime_config()
        if not hasattr(config, "create_runtime_cache"):
            return engine.create_execution_context(config)
        cache = config.create_runtime_cache()
        known = self._read()
        if known:
            cache.deserialize(known)
        config.set_runtime_cache(cache)
        context = engine.create_execution_context(config)
        if context is not None:
            self._write(cache, known)
        return context

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError:
            return b""

    def _write(self, cache: Any, known: bytes) -> None:
        memory = cache.serialize()
        data = b"" if memory is None else bytes(memory)
        if data and data != known:
            with contextlib.suppress(OSError, BundleError):
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_file(self.path, data)


def _folder() -> Path:
    if named := os.environ.get(FOLDER):
        return Path(named)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "v2v" / "tensorrt"
