"""Writing manifests: what is left out, what is refused, what people see."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from v2v_runtime.errors import ManifestError
from v2v_runtime.manifest import parse_manifest, readable_json, to_json
from v2v_runtime.manifest.model import Call, Emit, Every, Phase
from v2v_runtime.manifest.reader import nearest, read_as

CORPUS = Path(__file__).parents[2] / "conformance" / "manifests"


@pytest.mark.parametrize("path", sorted((CORPUS / "valid").iterdir()), ids=lambda path: path.stem)
def test_readable_form_says_the_same(path: Path) -> None:
    manifest = parse_manifest(path.read_bytes())
    text = readable_json(to_json(manifest))
    assert parse_manifest(text) == manifest
    longest = max(len(line) for line in text.decode().splitlines())
    assert longest <= 110 or path.stem in ("long_names", "deepest")


def test_defaults_are_left_out() -> None:
    call = Call("a", "g", {"x": "video"}, {"y": None})
    assert to_json(call) == {"name": "a", "graph": "g", "inputs": {"x": "video"}, "outputs": {"y": None}}
    assert to_json(Emit("out", 0)) == {"tensor": "out"}
    lists: Any = []
    assert to_json(dataclasses.replace(call, check=lists)) == to_json(call)
    when = dataclasses.replace(call, when=Every(2, (1,)), late=True)
    assert to_json(when)["when"] == {"every": 2, "at": [1]}
    assert to_json(when)["late"] is True


def test_a_zero_or_one_of_another_type_is_no_default() -> None:
    wrong: Any = dataclasses.replace(Phase("p", 1, ()), gather=True)
    assert to_json(wrong)["gather"] is True


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), np.int64(1), np.float32(1), b"x", {1, 2}, {1: 2}, object()],
    ids=lambda value: type(value).__name__,  # an object's repr is another one in each process
)
def test_what_json_does_not_have(value: object) -> None:
    with pytest.raises(TypeError):
        to_json({"a": [value]})


def test_text_is_kept_as_it_is() -> None:
    value = {"é": '"\\\n\x00\u2028😀', "b": [1.5, -0.0, True, None]}
    assert json.loads(readable_json(value)) == value


def test_nearest() -> None:
    assert nearest("outpts", ["inputs", "outputs"]) == "did you mean 'outputs'?"
    assert nearest("x", ["inputs", "outputs"]) == "choose from 'inputs', 'outputs'"
    assert nearest("x", []) == "there is none to choose from"
    assert nearest("z" * 10**6, ["a"] * 3)


def test_errors_say_where() -> None:
    with pytest.raises(ManifestError) as caught:
        read_as(Phase, {"name": "p", "steps": 1, "calls": [{"name": "c", "graph": "g", "input": {}}]}, "p[0]")
    assert caught.value.path == "p[0].calls[0].input"
    assert str(caught.value).startswith("[V2V-E2012] p[0].calls[0].input: ")
    assert "'inputs'" in str(caught.value)
    long = "k" * 10**6
    with pytest.raises(ManifestError) as caught:
        read_as(Phase, {long: 1})
    assert len(str(caught.value)) < 300
