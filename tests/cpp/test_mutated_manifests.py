"""Valid manifests with one place changed: C++ and Python say the same of each."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from conformance.mutations import mutated
from v2v_runtime.errors import V2VError
from v2v_runtime.manifest.parse import parse_manifest

VALID = sorted((Path(__file__).parents[1] / "conformance" / "manifests" / "valid").glob("*.json"))
COUNT = 1000


def verdict(text: str) -> dict[str, str]:
    """Python's: the code, or the identity."""
    try:
        return {"identity": parse_manifest(text).identity}
    except V2VError as error:
        return {"code": error.code}


@pytest.mark.parametrize("seed", range(4))
def test_one_mistake_anywhere(seed: int, driver, tmp_path: Path) -> None:
    documents = [json.loads(path.read_text("utf-8")) for path in VALID]
    chance = random.Random(seed)
    expected, commands = [], []
    for index in range(COUNT):
        text = json.dumps(mutated(chance.choice(documents), chance))
        path = tmp_path / f"{index}.json"
        path.write_text(text, "utf-8")
        commands.append(f"manifest {path}")
        expected.append(verdict(text))
    answers = driver.ask(commands)
    pairs = zip(commands, expected, answers, strict=True)
    assert [(c, want, got) for c, want, got in pairs if not want.items() <= got.items()] == []
    # A seed reaches much: neither are all refused, nor all for a few reasons.
    codes = [each.get("code") for each in expected]
    assert codes.count(None) > COUNT / 50
    assert len(set(codes)) > 20
