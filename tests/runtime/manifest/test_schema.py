"""The generated JSON Schemas are up to date, and reject what is wrong in shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from v2v_runtime.manifest import schema
from v2v_runtime.manifest.encode import readable_json

CORPUS = Path(__file__).parents[2] / "conformance" / "manifests"
EXPECTED: dict[str, Any] = json.loads((CORPUS / "expected.json").read_text())
FOLDER = Path(schema.__file__).parent

#: The codes of what types say: E2010 to E2027, but for the size of a tensor, which is a product.
SHAPES = {f"V2V-E{number}" for number in range(2010, 2028)} - {"V2V-E2023"}
#: Mistakes of those codes that JSON Schema cannot see.
BLIND = {
    "type_float_for_integer.json": "1.0 is an integer to JSON Schema",
    "name_with_newline.json": "Python's '$' matches before a last newline; ECMAScript's does not",
    "path_of_file_outside.json": "one entry type serves bundles and targets",
}


def validator(name: str) -> Any:
    found = json.loads((FOLDER / name).read_text())
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


@pytest.mark.parametrize("name", schema.FILES)
def test_committed_schema_is_current(name: str) -> None:
    fresh = readable_json(schema.schema_of(schema.FILES[name]))
    assert (FOLDER / name).read_bytes() == fresh, "run python -m v2v_runtime.manifest.schema"


def test_accepts_the_valid() -> None:
    check = validator("bundle.schema.json")
    for name in EXPECTED["valid"]:
        check.validate(json.loads((CORPUS / "valid" / name).read_text()))
    check = validator("target.schema.json")
    for name in EXPECTED["targets"]["valid"]:
        check.validate(json.loads((CORPUS / "targets" / "valid" / name).read_text()))


@pytest.mark.parametrize(
    ("file", "folder", "expected"),
    [
        ("bundle.schema.json", "invalid", EXPECTED["invalid"]),
        ("target.schema.json", "targets/invalid", EXPECTED["targets"]["invalid"]),
    ],
)
def test_rejects_wrong_shapes_and_nothing_else(file: str, folder: str, expected: dict[str, str]) -> None:
    check = validator(file)
    for name, code in expected.items():
        if code < "V2V-E2010":
            continue  # no JSON value at all
        accepted = check.is_valid(json.loads((CORPUS / folder / name).read_text()))
        assert accepted == (code not in SHAPES or name in BLIND), name
