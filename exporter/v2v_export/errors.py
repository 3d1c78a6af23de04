"""Errors of the exporter; the runtime's tree, in the ranges V2V-E5xxx to V2V-E8xxx."""

from __future__ import annotations

from v2v_runtime.errors import V2VError

__all__ = ["BuildError", "ModelError", "RecipeError", "V2VError", "VerdictError"]


class RecipeError(V2VError):
    """A recipe or a profile says something that cannot be built (E5xxx)."""


class ModelError(V2VError):
    """A system, its options or its weights do not fit (E6xxx)."""


class BuildError(V2VError):
    """A stage of the build failed; nothing half-made was published (E7xxx)."""


class VerdictError(V2VError):
    """Parity or latency missed what was asked; the command ends with exit status 3 (E8xxx)."""
