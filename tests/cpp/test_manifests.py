"""The corpus of manifests in C++: the same code for every mistake, the same canonical form for the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MANIFESTS = Path(__file__).parents[1] / "conformance" / "manifests"
EXPECTED: dict[str, Any] = json.loads((MANIFESTS / "expected.json").read_text("utf-8"))


def test_every_valid_manifest_has_its_identity_and_canonical_form(driver) -> None:
    names = list(EXPECTED["valid"])
    answers = driver.ask(f"manifest {MANIFESTS / 'valid' / name}" for name in names)
    assert dict(zip(names, answers, strict=True)) == EXPECTED["valid"]


def test_every_invalid_manifest_gives_its_code(driver) -> None:
    names = list(EXPECTED["invalid"])
    answers = driver.ask(f"manifest {MANIFESTS / 'invalid' / name}" for name in names)
    codes = {name: answer.get("code") for name, answer in zip(names, answers, strict=True)}
    assert codes == EXPECTED["invalid"]


def test_texts_that_are_too_large(driver, tmp_path: Path) -> None:
    for large in EXPECTED["large"]:
        path = tmp_path / large["name"]
        path.write_text(large["first"] + large["repeat"] * large["times"] + large["then"], "utf-8")
        (answer,) = driver.ask([f"manifest {path}"])
        assert (large["name"], answer.get("code")) == (large["name"], large["code"])


def test_every_target_gives_its_verdict(driver) -> None:
    folder = MANIFESTS / "targets"
    valid = driver.ask(f"target {folder / 'valid' / name}" for name in EXPECTED["targets"]["valid"])
    assert all("canonical" in answer for answer in valid), valid
    names = list(EXPECTED["targets"]["invalid"])
    answers = driver.ask(f"target {folder / 'invalid' / name}" for name in names)
    codes = {name: answer.get("code") for name, answer in zip(names, answers, strict=True)}
    assert codes == EXPECTED["targets"]["invalid"]
