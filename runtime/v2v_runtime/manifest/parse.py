"""From the bytes of ``bundle.json`` and ``target.json`` to checked objects."""

from __future__ import annotations

import re

from v2v_runtime.errors import ManifestError
from v2v_runtime.manifest.codes import Code
from v2v_runtime.manifest.identity import identity
from v2v_runtime.manifest.model import BUNDLE_SCHEMA, TARGET_SCHEMA, Manifest, Target
from v2v_runtime.manifest.reader import read_as
from v2v_runtime.manifest.strict_json import load_json
from v2v_runtime.manifest.validate import validate, validate_target


def parse_manifest(data: bytes | str) -> Manifest:
    """Reads ``bundle.json``: its JSON, its types, its meaning, and that ``identity`` is the hash of it.

    Raises:
        ManifestError: the first mistake, with its code (``codes.Code``) and JSON path.
    """
    document = load_json(data)
    _check_schema(document, BUNDLE_SCHEMA)
    manifest = read_as(Manifest, document)
    validate(manifest)
    if (right := identity(manifest)) != manifest.identity:
        raise ManifestError(
            Code.IDENTITY,
            "identity",
            manifest.identity,
            right,
            "the manifest was changed after it was made: build the bundle again",
        )
    return manifest


def parse_target(data: bytes | str) -> Target:
    """Reads ``target.json`` alone; whether it fits its bundle is for ``Bundle.target`` to say.

    Raises:
        ManifestError: the first mistake, with its code (``codes.Code``) and JSON path.
    """
    document = load_json(data)
    _check_schema(document, TARGET_SCHEMA)
    target = read_as(Target, document)
    validate_target(target)
    return target


def _check_schema(document: object, expected: str) -> None:
    """Before anything else: a newer schema may differ everywhere, and naming a new key would help nobody."""
    if not isinstance(document, dict) or not isinstance(schema := document.get("schema"), str):
        return  # the reader says what is wrong
    if schema == expected:
        return
    family = expected.partition("/")[0]
    newer = re.fullmatch(re.escape(family) + r"/([1-9][0-9]{0,8})", schema)
    if newer:
        raise ManifestError(
            Code.FUTURE_SCHEMA,
            "schema",
            repr(schema),
            repr(expected),
            "install a newer v2v-runtime, or build the bundle again with this version",
        )
    raise ManifestError(Code.UNKNOWN_SCHEMA, "schema", repr(schema[:64]), repr(expected))
