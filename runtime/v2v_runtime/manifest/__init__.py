"""The manifest: types, strict reading, validation, canonical form and identity."""

from __future__ import annotations

from v2v_runtime.manifest.codes import Code
from v2v_runtime.manifest.encode import readable_json, to_json
from v2v_runtime.manifest.identity import canonical, identity
from v2v_runtime.manifest.parse import parse_manifest, parse_target
from v2v_runtime.manifest.validate import validate, validate_target

__all__ = [
    "Code",
    "canonical",
    "identity",
    "parse_manifest",
    "parse_target",
    "readable_json",
    "to_json",
    "validate",
    "validate_target",
]
