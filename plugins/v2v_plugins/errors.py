"""Errors of the custom ops; the runtime's tree."""

from __future__ import annotations

from v2v_runtime.errors import BackendError, V2VError

__all__ = ["BackendError", "PluginError", "V2VError"]


class PluginError(V2VError):
    """A custom op, or one of its bodies, does not fit the model (E77xx)."""
