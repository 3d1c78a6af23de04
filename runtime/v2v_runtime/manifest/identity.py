"""What a manifest is hashed to, and the canonical bytes behind it."""

from __future__ import annotations

import hashlib

from v2v_runtime.manifest.encode import canonical_json, to_json
from v2v_runtime.manifest.model import Manifest, Target

#: What a bundle computes depends on these alone; its name, system and provenance may change without it.
_IDENTITY_KEYS = ("schema", "graphs", "variants", "program", "selftest", "files")


def canonical(document: Manifest | Target) -> bytes:
    """The canonical form: sorted keys, defaults left out, no spaces, one final newline, UTF-8.

    Typed numbers are integers. Free JSON (``provenance``, ``options`` ...) may hold floats, which are written
    as Python's shortest form; no identity covers free JSON, so no reader has to match that.
    """
    return canonical_json(to_json(document))


def identity(manifest: Manifest) -> str:
    """sha256 (hexadecimal) of the canonical form of what the bundle computes: schema, graphs, variants,
    program, self-test and files."""
    plain = to_json(manifest)
    return hashlib.sha256(
        canonical_json({key: plain[key] for key in _IDENTITY_KEYS if key in plain})
    ).hexdigest()
