"""Backends by name. A new backend is one module here and one line in ``BACKENDS``."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, cast

from v2v_runtime.backends.base import Backend
from v2v_runtime.errors import BackendError

__all__ = ["BACKENDS", "open_backend"]

#: name -> module with ``open_backend(options) -> Backend``; imported when it is first opened.
BACKENDS: dict[str, str] = {
    "onnxruntime": "v2v_runtime.backends.onnxruntime",
    "tensorrt": "v2v_runtime.backends.tensorrt",
}


def open_backend(name: str, options: Mapping[str, Any]) -> Backend:
    """Opens a backend.

    Args:
        name: a key of ``BACKENDS``.
        options: ``Target.options``, with what the user changed; each backend documents its own.

    Raises:
        BackendError: unknown name (V2V-E4001); what it needs is not installed (V2V-E4002 to E4004); an
            option is wrong (V2V-E4009).
    """
    module_path = BACKENDS.get(name)
    if module_path is None:
        near = get_close_matches(name, BACKENDS, n=2)
        raise BackendError(
            "V2V-E4001",
            f"backend {name!r} is unknown",
            f"one of {', '.join(sorted(BACKENDS))}",
            f"did you mean {' or '.join(near)}?" if near else "",
        )
    try:
        module = import_module(module_path)
    except ModuleNotFoundError as error:
        if error.name != module_path:
            raise
        raise BackendError(
            "V2V-E4002", f"this v2v-runtime has no backend {name!r}", "", "install a newer v2v-runtime"
        ) from error
    return cast(Backend, module.open_backend(options))
