"""Counters of programs whose calls do not all run in every step, against sums by hand."""

from __future__ import annotations

from pathlib import Path

from conformance.programs import PROGRAMS
from support.toy_system import CHANNELS, ToyModel, toy_bundle
from v2v_export.budgets import count_bundle


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
