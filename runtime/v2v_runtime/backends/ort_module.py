"""The one place that imports ``onnxruntime``: it is told beforehand to send nothing.

Official builds for Linux have telemetry, and it is on (``Privacy.md`` in the wheel of 1.31.1): the first
import keeps an identifier below ``~/.cache/Microsoft`` and starts a thread, which sends events with the names
and hashes of models to Microsoft over HTTPS. ``ORT_DISABLE_TELEMETRY=1`` is read when the library is loaded;
the API's own switch comes after that, and leaves the identifier and the thread.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType


def import_onnxruntime() -> ModuleType:
    """Imports it with its telemetry off, unless ``ORT_DISABLE_TELEMETRY`` is set already: then as that says.

    Where something else of the process has imported it before, its telemetry is as that left it.

    Raises:
        ImportError: it is not installed, or does not load.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return importlib.import_module("onnxruntime")
