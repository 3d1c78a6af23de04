"""Every file of the corpus gives what ``expected.json`` says, and every code has a file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from v2v_runtime.errors import ManifestError
from v2v_runtime.manifest import Code, canonical, identity, parse_manifest, parse_target

CORPUS = Path(__file__).parents[2] / "conformance" / "manifests"
EXPECTED: dict[str, Any] = json.loads((CORPUS / "expected.json").read_text())


@pytest.mark.parametrize("name", EXPECTED["valid"])
def test_valid(name: str) -> None:
    manifest = parse_manifest((CORPUS / "valid" / name).read_bytes())
    expected = EXPECTED["valid"][name]
    assert manifest.identity == identity(manifest) == expected["identity"]
    assert hashlib.sha256(canonical(manifest)).hexdigest() == expected["canonical"]
    assert parse_manifest(canonical(manifest)) == manifest


@pytest.mark.parametrize("name", EXPECTED["invalid"])
def test_invalid(name: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest((CORPUS / "invalid" / name).read_bytes())
    assert caught.value.code == EXPECTED["invalid"][name], str(caught.value)
    assert caught.value.seen


@pytest.mark.parametrize("entry", EXPECTED["large"], ids=lambda entry: entry["name"])
def test_large(entry: dict[str, Any]) -> None:
    data = (entry["first"] + entry["repeat"] * entry["times"] + entry["then"]).encode()
    if entry["code"] is None:
        parse_manifest(data)
        return
    with pytest.raises(ManifestError) as caught:
        parse_manifest(data)
    assert caught.value.code == entry["code"]


@pytest.mark.parametrize("name", EXPECTED["targets"]["valid"])
def test_valid_target(name: str) -> None:
    target = parse_target((CORPUS / "targets" / "valid" / name).read_bytes())
    expected = EXPECTED["targets"]["valid"][name]
    assert hashlib.sha256(canonical(target)).hexdigest() == expected["canonical"]
    assert parse_target(canonical(target)) == target


@pytest.mark.parametrize("name", EXPECTED["targets"]["invalid"])
def test_invalid_target(name: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parse_target((CORPUS / "targets" / "invalid" / name).read_bytes())
    assert caught.value.code == EXPECTED["targets"]["invalid"][name], str(caught.value)


def test_every_code_has_a_file() -> None:
    codes = {
        *EXPECTED["invalid"].values(),
        *(entry["code"] for entry in EXPECTED["large"] if entry["code"] is not None),
        *EXPECTED["targets"]["invalid"].values(),
    }
    assert codes == {str(code) for code in Code}


def test_every_file_is_expected() -> None:
    for folder, expected in (
        ("valid", EXPECTED["valid"]),
        ("invalid", EXPECTED["invalid"]),
        ("targets/valid", EXPECTED["targets"]["valid"]),
        ("targets/invalid", EXPECTED["targets"]["invalid"]),
    ):
        assert {path.name for path in (CORPUS / folder).iterdir()} == set(expected)


def test_corpus_is_what_its_generator_makes() -> None:
    from conformance.make_manifests import corpus

    made = corpus()
    assert {path.relative_to(CORPUS).as_posix() for path in CORPUS.rglob("*.json")} == set(made)
    for name, data in made.items():
        assert (CORPUS / name).read_bytes() == data, f"{name} is stale: run conformance.make_manifests"
