"""Streams that skip frames are verified whole: what is skipped, what is shown instead, and what runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import micro_live2diff, micro_stream
from v2v_export.recipe import VerifyOptions
from v2v_export.system import GraphOptions, Model
from v2v_export.verify.judge import judge
from v2v_export.verify.parity import ParityJob, verify_target
from v2v_export.verify.report import Report

ALIKE = {"similarity": True, "similarity_threshold": 0.5, "max_skip": 2}
"""A threshold at which frames of the clip that move are skipped, too."""


def verify(bundle: Any, model: Callable[[], Model], frames: int) -> Report:
    options = VerifyOptions(frames=frames)
    job = ParityJob(bundle.root, "cpu.onnxruntime", model, GraphOptions(), options)
    return verify_target(job, judge)


def skipped(checks: list[Any]) -> int:
    return sum(check.skipped for check in checks)


@pytest.fixture(scope="module")
def live2diff(tmp_path_factory: pytest.TempPathFactory) -> micro_live2diff.Bundles:
    return micro_live2diff.Bundles(tmp_path_factory.mktemp("live2diff"))


@pytest.mark.parametrize("cache", ["delta", "in_place"])
def test_live2diff(cache: str, live2diff: micro_live2diff.Bundles) -> None:
    options = micro_live2diff.micro_options(2, cache=cache, **ALIKE)
    bundle = live2diff.of(options)
    report = verify(bundle, lambda: micro_live2diff.micro_model(options), frames=24)
    assert report.miss is None, report.miss
    # 8 frames of the warm-up, and 15 of which at least a third repeats.
    assert len(report.steps) == 1 + 15
    ran = len(report.steps) - 1 - skipped(report.steps)
    assert 3 <= ran <= 10
    assert f"phase stream: {ran} steps" in report.crossed
    assert f"{15 - ran} frames skipped" in report.crossed
    assert report.poisoned == 1 + ran
    assert len(report.stream) == 1 + 16
    assert skipped(report.stream) >= 5
    said = [text for text in report.not_verified if "self-test" not in text]
    wanted = f"phase stream past step {ran} of the 10 that show everything: the other frames were skipped"
    assert said == ([f"{wanted}; `v2v-export verify --full` plays more"] if ran < 10 else [])


def test_stream_diffusion(tmp_path: Path) -> None:
    options = micro_stream.micro_options(t_index_list=(35, 45), **ALIKE)
    bundle = micro_stream.Bundles(tmp_path).of(options)
    report = verify(bundle, lambda: micro_stream.micro_model(options), frames=18)
    assert report.miss is None, report.miss
    assert len(report.stream) == 18
    assert 6 <= skipped(report.stream) < 16


def test_another_rule_is_a_miss(live2diff: micro_live2diff.Bundles) -> None:
    """The stream skips what its reference processes."""
    options = micro_live2diff.micro_options(2, **ALIKE)
    other = micro_live2diff.micro_options(2, **{**ALIKE, "similarity_threshold": 1.0})
    report = verify(live2diff.of(options), lambda: micro_live2diff.micro_model(other), frames=12)
    assert report.miss is not None
    assert report.miss.level == "step"
    assert "phase stream" in report.miss.where
