"""What ``make bench-real`` says of a diffusion system's build."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from _real.diffusion import LIMITS, Limits, _findings, _graph_table, recipes
from _real.watched import Watched
from rich.console import Console

TOLD: dict[str, Any] = {
    "trace_seconds": {"unet_step": 90.0, "decode": 2.0},
    "engine_seconds": {"unet_step": 130.0, "decode": 1.0},
    "targets": {
        "rtx4090.tensorrt": {
            "counters": {"unet_step": {"kernels": 552, "attentions_fused": 32, "engine_bytes": 1701200000}},
            "verification": {
                "graphs": {"decode": {}},
                "teacher_forced": {"steps": 2},
                "not_verified": ["the target: no self-test (frames = 0 in [verify])"],
            },
        }
    },
}


def test_real_size_recipes_are_found_by_their_name(tmp_path: Path) -> None:
    for name in ("one/real.toml", "two/v2v.toml", "three/real.toml"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("")
    assert list(recipes(tmp_path)) == ["one", "three"]
    assert set(LIMITS) <= set(recipes())


def test_the_dearest_graph_is_held_to_the_limit() -> None:
    watched = Watched(process=13_000_000_000, largest="v2v_export.targets.child")
    found = {item.what: item for item in _findings("one", watched, TOLD, Limits())}
    assert found["one: seconds to trace unet_step"].met
    assert not found["one: seconds to build the engine of unet_step"].met
    assert found["one: largest process"].measured == 13.0
    assert found["one: largest process"].met
    assert not _findings("one", Watched(status=-9, log="..."), {**TOLD, "trace_seconds": {}}, Limits())[0].met


def test_a_graph_that_nothing_was_compared_with_is_a_miss() -> None:
    found = {item.what: item for item in _findings("one", Watched(), TOLD, Limits())}
    assert found["one: graphs compared with their modules"].met
    assert found["one: teacher-forced steps"].met
    (target,) = TOLD["targets"].values()
    counters = {**target["counters"], "decode": {}}
    left_out = {
        "targets": {"rtx4090.tensorrt": {"counters": counters, "verification": {"graphs": {"decode": {}}}}}
    }
    found = {item.what: item for item in _findings("one", Watched(), {**TOLD, **left_out}, Limits())}
    assert found["one: graphs compared with their modules"].measured == 1
    assert not found["one: graphs compared with their modules"].met
    assert not found["one: teacher-forced steps"].met


def test_what_was_not_verified_is_shown_as_it_is_written() -> None:
    text = io.StringIO()
    Console(width=120, file=text).print(_graph_table("one", TOLD))
    shown = " ".join(text.getvalue().split())
    assert "unet_step 90.0 130.0 552 32 1701.2" in shown
    assert "graphs against their modules: decode; teacher-forced steps: 2" in shown
    assert "not verified: the target: no self-test (frames = 0 in [verify])" in shown
