"""Checks what types cannot say: one file per family of rules, run in a fixed order."""

from __future__ import annotations

from v2v_runtime.manifest.model import Manifest
from v2v_runtime.manifest.validate.files import blob_types, check_files, validate_target

__all__ = ["blob_types", "validate", "validate_target"]


def validate(manifest: Manifest) -> None:
    """Checks a manifest whose types are right.

    Raises:
        ManifestError: the first mistake found, V2V-E2021 and above.
    """
    check_files(manifest)
