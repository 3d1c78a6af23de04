"""The engine key: what is in it, and what a miss says."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from v2v_export.profiles import load_profile
from v2v_export.targets.base import EngineRequest
from v2v_export.targets.key import FIELDS, engine_key, explain_difference

REQUEST = EngineRequest(
    backend="tensorrt",
    graph="full",
    model="/home/someone/full.onnx",
    workdir="/home/someone/work",
    float="float16",
    profile=json.loads(json.dumps(load_profile("rtx4090").to_dict())),
    options={"flavour": "rtx"},
    buckets={"x": (1, 4)},
)


def _key(request: EngineRequest = REQUEST, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "graph_sha256": "a" * 64,
        "weights_sha256": "b" * 64,
        "shapes": {"x": {"dtype": "float", "shape": [4, 8]}},
        "version": "rtx 1.7",
        "fingerprint": {"ada_bd": "c" * 64},
    }
    return engine_key(request, **{**given, **changes})


def test_every_field_in_order_and_no_path() -> None:
    key = _key()
    assert tuple(key) == FIELDS
    assert "/home" not in json.dumps(key)
    assert json.loads(json.dumps(key)) == key, "it is the same after a file"
    assert key["compute_capability"] == "8.9"
    assert key["shapes"]["buckets"] == {"x": [1, 4]}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"graph_sha256": "d" * 64}, "graph: aaaaaaaaaaaaaaaa... -> dddddddddddddddd..."),
        ({"weights_sha256": None}, "weights: bbbbbbbbbbbbbbbb... -> none"),
        ({"version": "rtx 1.8"}, "backend_version: rtx 1.7 -> rtx 1.8"),
        ({"fingerprint": {}}, "kernels.ada_bd: cccccccccccccccc... -> none"),
        ({"shapes": {"x": {"dtype": "float", "shape": [4, 9]}}}, "shapes.ports.x.shape: [4, 8] -> [4, 9]"),
    ],
)
def test_the_first_difference(changes: dict[str, Any], told: str) -> None:
    assert explain_difference(_key(), _key(**changes)) == told


def test_the_first_of_several() -> None:
    request = dataclasses.replace(REQUEST, float="float32", options={"flavour": "10"})
    assert explain_difference(_key(), _key(request)) == "precision: float16 -> float32"


def test_no_difference() -> None:
    assert explain_difference(_key(), _key()) is None


def test_prose_builds_nothing_anew() -> None:
    profile = load_profile("rtx4090")
    reworded = dataclasses.replace(
        profile,
        title="another title",
        memory_gib=dataclasses.replace(profile.memory_gib, source="another page"),
    )
    faster = dataclasses.replace(profile, workspace_mib=1)
    before = _key()
    assert _key(dataclasses.replace(REQUEST, profile=reworded.to_dict())) == before
    after = _key(dataclasses.replace(REQUEST, profile=faster.to_dict()))
    assert explain_difference(before, after) == "profile.workspace_mib: 6144 -> 1"


def test_requests_cross_as_json() -> None:
    assert EngineRequest.from_json(json.loads(json.dumps(REQUEST.to_json()))) == REQUEST
