"""Writes the corpus: ``PYTHONPATH=tests python -m conformance.make_manifests``.

``expected.json`` says what each file must give: hashes of a valid one, a code for an invalid one.
Codes come from the lists of mistakes, identities from ``plain``; nothing is taken from the code under test.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from conformance import families, features, mistakes_names, mistakes_stream, mistakes_values
from conformance.edits import MISTAKES
from conformance.mistakes_text import LARGE, TEXTS
from conformance.plain import IDENTITY_KEYS, canonical, identity
from conformance.targets import TARGET_MISTAKES, VALID_TARGETS, portable

FOLDER = Path(__file__).parent / "manifests"

VALID = {
    "minimal": features.minimal,
    "defaults_written": features.defaults_written,
    "deepest": features.deepest,
    "shortcut_late_refresh": families.shortcut_late_refresh,
    "shortcut_teacher_refresh": families.shortcut_teacher_refresh,
    "live2diff": families.live2diff,
    "stream_diffusion": families.stream_diffusion,
    "streamv2v": families.streamv2v,
    "lipar": families.lipar,
    "ring_history": features.ring_history,
    "limits": features.limits,
    "limits_written": features.limits_written,
    "in_place_ring": features.in_place_ring,
    "in_place_update": features.in_place_update,
    "selftest": features.selftest,
    "long_names": features.long_names,
    "short_phase": features.short_phase,
}
#: What a file means when its defaults are left out, where it does not leave them out.
WITHOUT_DEFAULTS = {"defaults_written": features.minimal, "limits_written": features.limits}
TARGETS_WITHOUT_DEFAULTS = {"defaults_written": portable}
#: Imported for the mistakes that they list.
LISTS = (mistakes_values, mistakes_names, mistakes_stream)


def corpus() -> dict[str, bytes]:
    """Path below the corpus's folder -> content."""
    files: dict[str, bytes] = {}
    valid: dict[str, Any] = {}
    invalid: dict[str, str] = {}
    for name, make in VALID.items():
        plain = WITHOUT_DEFAULTS.get(name, make)()
        files[f"valid/{name}.json"] = _pretty(make())
        valid[f"{name}.json"] = {"identity": identity(plain), "canonical": _sha256(canonical(plain))}
    for mistake in MISTAKES:
        _once(invalid, mistake.name)
        document = _copy(mistake.base())
        before = document["identity"]
        mistake.edit(document)
        if document.get("identity") == before and all(
            key in document for key in IDENTITY_KEYS if key != "selftest"
        ):
            document["identity"] = identity(document)
        files[f"invalid/{mistake.name}.json"] = _pretty(document)
        invalid[f"{mistake.name}.json"] = mistake.code
    for name, (code, data) in TEXTS.items():
        _once(invalid, name)
        files[f"invalid/{name}.json"] = data
        invalid[f"{name}.json"] = code
    targets: dict[str, Any] = {"valid": {}, "invalid": {}}
    for name, make in VALID_TARGETS.items():
        files[f"targets/valid/{name}.json"] = _pretty(make())
        plain = TARGETS_WITHOUT_DEFAULTS.get(name, make)()
        targets["valid"][f"{name}.json"] = {"canonical": _sha256(canonical(plain))}
    for mistake in TARGET_MISTAKES:
        _once(targets["invalid"], mistake.name)
        document = _copy(mistake.base())
        mistake.edit(document)
        files[f"targets/invalid/{mistake.name}.json"] = _pretty(document)
        targets["invalid"][f"{mistake.name}.json"] = mistake.code
    large = [
        {"name": name, "code": code, "first": first, "repeat": text, "times": times, "then": then}
        for name, (code, (first, text, times, then)) in LARGE.items()
    ]
    expected = {"valid": valid, "invalid": invalid, "large": large, "targets": targets}
    files["expected.json"] = json.dumps(expected, indent=1, ensure_ascii=True).encode() + b"\n"
    return files


def _copy(document: Any) -> Any:
    """A copy in which no two places share one object, so that an edit changes one place."""
    return json.loads(json.dumps(document))


def _once(seen: dict[str, str], name: str) -> None:
    if f"{name}.json" in seen:
        raise SystemExit(f"two mistakes are called {name}")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _pretty(value: Any) -> bytes:
    return (_lines(value, "") + "\n").encode()


def _lines(value: Any, indent: str) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(flat) <= 110 or not isinstance(value, dict | list):
        return flat
    deeper = indent + " "
    if isinstance(value, dict):
        entries = [
            f"{json.dumps(key, ensure_ascii=False)}: {_lines(entry, deeper)}" for key, entry in value.items()
        ]
        return "{\n" + ",\n".join(deeper + entry for entry in entries) + "\n" + indent + "}"
    return "[\n" + ",\n".join(deeper + _lines(entry, deeper) for entry in value) + "\n" + indent + "]"


def main() -> None:
    """Writes what ``corpus`` gives and removes what it no longer gives."""
    files = corpus()
    for path in FOLDER.rglob("*.json"):
        if path.relative_to(FOLDER).as_posix() not in files:
            path.unlink()
    for name, data in files.items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    main()
