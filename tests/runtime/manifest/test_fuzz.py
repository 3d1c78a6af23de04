"""Whatever a manifest holds, reading it ends in a manifest or in a ManifestError."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from support.spoilt import spoil
from v2v_runtime.errors import ManifestError
from v2v_runtime.manifest import canonical, parse_manifest
from v2v_runtime.manifest.model import Manifest
from v2v_runtime.manifest.reader import read_as
from v2v_runtime.manifest.validate import validate

CORPUS = Path(__file__).parents[2] / "conformance" / "manifests"
VALID = sorted(path.name for path in (CORPUS / "valid").iterdir())


@pytest.mark.parametrize("name", VALID)
def test_spoilt_manifests(name: str) -> None:
    text = (CORPUS / "valid" / name).read_text()
    good = parse_manifest(text)
    kept = 0
    for seed in range(200):
        chance = random.Random(f"{name} {seed}")
        document = json.loads(text)
        for _ in range(chance.randrange(1, 4)):
            spoil(document, chance)
        try:
            found = parse_manifest(json.dumps(document))
        except ManifestError:
            pass
        else:
            assert (found.program, found.graphs, found.files) == (good.program, good.graphs, good.files)
        # The identity hides what lies behind it, so look there too.
        try:
            manifest = read_as(Manifest, document)
            validate(manifest)
        except ManifestError:
            pass
        else:
            kept += 1
            assert read_as(Manifest, json.loads(canonical(manifest))) == manifest
    assert kept < 100


@pytest.mark.parametrize("name", VALID)
def test_cut_and_flipped_text(name: str) -> None:
    data = (CORPUS / "valid" / name).read_bytes()
    good = parse_manifest(data)
    for seed in range(100):
        chance = random.Random(seed)
        bad = bytearray(data)
        bad[chance.randrange(len(bad))] ^= chance.randrange(1, 256)
        if chance.random() < 0.2:
            del bad[chance.randrange(len(bad)) :]
        try:
            found = parse_manifest(bytes(bad))
        except ManifestError:
            continue
        # What the identity does not cover may change; what is played may not.
        assert (found.program, found.graphs, found.files) == (good.program, good.graphs, good.files)
