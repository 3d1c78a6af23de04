"""Counters of programs whose calls do not all run in every step, against sums by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conformance import features
from conformance.programs import PROGRAMS
from support.bundles import make_bundle, make_target
from support.toy_system import CHANNELS, ToyModel, toy_bundle
from v2v_export.budgets import count_bundle
from v2v_runtime.manifest.parse import parse_manifest


def test_a_refresh_every_third_frame_and_a_ring(tmp_path: Path) -> None:
    """Three pictures, each checked and each with one ring entry of 1 x 1 float32 pixels; one late refresh."""
    counted = count_bundle(toy_bundle(tmp_path / "toy.v2v", ToyModel()), play=False)
    assert counted["program"] == {
        "period_frames": 3,
        "calls_per_period": 3 + 1,
        "host_syncs_per_period": 3,
    }
    assert counted["cpu.onnxruntime"]["ring_bytes_per_frame"] == 4 * CHANNELS


def test_calls_for_a_changed_param_are_no_part_of_a_period(tmp_path: Path) -> None:
    """encode, unet, sample and decode; text encoder and cross-attention run when the prompt changes."""
    counted = count_bundle(PROGRAMS["stream_diffusion"]().write(tmp_path / "stream.v2v"), play=False)
    assert counted["program"] == {"period_frames": 1, "calls_per_period": 4, "host_syncs_per_period": 1}


@pytest.mark.parametrize(
    ("document", "slot", "written"),
    [
        (features.in_place_ring, 5 * 4 * 6 * 3, 4 * 6 * 3),
        (features.in_place_update, 8 * 72 * 4, 0),
    ],
    ids=["ring bound in place", "cache updated by its graph"],
)
def test_what_a_frame_writes_of_a_ring(
    tmp_path: Path, document: Callable[[], dict[str, Any]], slot: int, written: int
) -> None:
    """Five entries of 4 x 6 uint8 pixels; and a cache of 8 x 72 float32 values that its graph takes and gives
    whole, in one place. Neither needs memory for its commit."""
    manifest = parse_manifest(json.dumps(document()))
    (variant,) = manifest.variants
    target = make_target(variant=variant)
    bundle = make_bundle(tmp_path / "a.v2v", manifest, dict.fromkeys(manifest.graphs, b""), {}, [target])
    counted = count_bundle(bundle, play=False)["cpu.onnxruntime"]
    assert counted["slot_bytes"] == counted["state_bytes"] == slot
    assert counted["ring_bytes_per_frame"] == written
