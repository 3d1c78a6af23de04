"""The corpus of manifests in C++: the same code for every mistake, the same canonical form for the rest."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from support.spoilt import shuffled, spoil
from v2v_runtime.errors import ManifestError
from v2v_runtime.manifest import parse_manifest, parse_target

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
    names = list(EXPECTED["targets"]["valid"])
    answers = driver.ask(f"target {folder / 'valid' / name}" for name in names)
    assert dict(zip(names, answers, strict=True)) == EXPECTED["targets"]["valid"]
    names = list(EXPECTED["targets"]["invalid"])
    answers = driver.ask(f"target {folder / 'invalid' / name}" for name in names)
    codes = {name: answer.get("code") for name, answer in zip(names, answers, strict=True)}
    assert codes == EXPECTED["targets"]["invalid"]


def code_of(kind: str, text: bytes) -> str | None:
    """Python's verdict."""
    try:
        (parse_manifest if kind == "manifest" else parse_target)(text)
    except ManifestError as error:
        return str(error.code)
    return None


def judge(driver, folder: Path, cases: list[tuple[str, bytes]]) -> set[str | None]:
    """The codes that both readers give."""
    commands = []
    for number, (kind, text) in enumerate(cases):
        path = folder / f"{number}.json"
        path.write_bytes(text)
        commands.append(f"{kind} {path}")
    codes = [code_of(kind, text) for kind, text in cases]
    found = [answer.get("code") for answer in driver.ask(commands)]
    differ = [case for case in zip(cases, codes, found, strict=True) if case[1] != case[2]]
    assert differ == []
    return set(codes)


def test_of_several_mistakes_both_readers_tell_the_same(driver, tmp_path: Path) -> None:
    """Two to four mistakes in one document, whose keys stand in any order."""
    documents = [
        (kind, json.loads((MANIFESTS / folder / name).read_text("utf-8")))
        for kind, folder, names in (
            ("manifest", "valid", EXPECTED["valid"]),
            ("target", "targets/valid", EXPECTED["targets"]["valid"]),
        )
        for name in names
    ]
    cases = []
    for seed in range(60 * len(documents)):
        chance = random.Random(seed)
        kind, whole = documents[seed % len(documents)]
        document = json.loads(json.dumps(whole))
        for _ in range(chance.randrange(2, 5)):
            spoil(document, chance)
        cases.append((kind, json.dumps(shuffled(document, chance)).encode()))
    assert len(judge(driver, tmp_path, cases)) > 15


def test_of_several_mistakes_in_a_text_both_readers_tell_the_same(driver, tmp_path: Path) -> None:
    """Pieces that are mistakes, or are where they stand."""
    pieces = [
        *(
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "\n",
            '"a"',
            '"b"',
            '"\\ud800"',
            '"\\ud83d\\ude00"',
            '"\\ufffd"',
        ),
        *("1", "-", "0", ".5", "e", "E+", "1e999", "99999999999999999999"),
        *("NaN", "Infinity", "-Infinity", "null", "true", "\0"),
        *('"a":', '"b":', '{"a":1}', '{"a":1,"a":2}', '{"a":"\\ud800"}', '["\\udc00"]'),
    ]
    places = [("", ""), ("[", "]"), ('{"a":', "}"), ('{"x":[1,', "]}"), ('[{"a":1,"a":', "}]")]
    cases = []
    for seed in range(1500):
        chance = random.Random(seed)
        some = [chance.choice(pieces) for _ in range(chance.randrange(1, 8))]
        first, last = chance.choice(places)
        cases.append(("manifest", f"{first}{chance.choice(['', ',']).join(some)}{last}".encode()))
    seen = judge(driver, tmp_path, cases)
    assert {"V2V-E2002", "V2V-E2003", "V2V-E2004", "V2V-E2007", "V2V-E2008"} <= seen
