"""The comparison's worker: what it says of a real stream, and what it loads."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.negative import write_negative
from v2v_runtime import bench_worker
from v2v_runtime.bench_worker import Player

CLIP = np.random.default_rng(0).integers(0, 256, (3, 6, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shows negatives; carries three frames to test itself with."""
    return write_negative(tmp_path_factory.mktemp("worker") / "negative.v2v", CLIP)


def say(bundle: Path, commands: Sequence[dict[str, Any]], *words: str, status: int = 0) -> list[Any]:
    """What the worker answers."""
    done = subprocess.run(
        [sys.executable, "-m", "v2v_runtime.bench_worker", str(bundle), *words],
        input="".join(json.dumps(command) + "\n" for command in commands),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_plays_counts_and_hands_out_pictures(bundle: Path, tmp_path: Path) -> None:
    pictures, clip = tmp_path / "pictures.npy", tmp_path / "clip.npy"
    np.save(clip, CLIP)
    hello, warm, play, count, emit = say(
        bundle,
        [
            {"do": "warm", "most": 100},
            {"do": "play", "frames": 4},
            {"do": "count", "frames": 5},
            {"do": "emit", "to": str(pictures), "clip": str(clip)},
            {"do": "quit"},
        ],
    )
    assert (hello["protocol"], hello["height"], hello["width"], hello["period"]) == (1, 6, 8, 1)
    assert hello["target"] == "cpu.onnxruntime"
    assert 30 <= warm["frames"] <= 100
    assert len(warm["frame_ns"]) == warm["frames"]
    assert len(play["frame_ns"]) == 4
    assert 0 < sum(play["frame_ns"]) <= play["total_ns"]
    assert play["cpu_ns"] > 0
    assert (count["counters"]["frames_in"], count["counters"]["calls"]) == (5, 5)
    assert count["counters"]["allocations"] == 0, "a warm stream allocates nothing"
    assert emit == {"emitted": 3}
    np.testing.assert_array_equal(np.load(pictures), 255 - CLIP)


def test_work_after_the_last_picture_is_in_a_turns_time(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late calls that go on for 50 ms, for which the stream waits when its parameters are set."""
    player = Player(bundle)
    wait = player.stream.set_params

    def waits_longer() -> None:
        time.sleep(0.05)
        wait()

    monkeypatch.setattr(player.stream, "set_params", waits_longer)
    play = player.play(3)
    assert len(play["frame_ns"]) == 3
    assert play["total_ns"] - sum(play["frame_ns"]) >= 50_000_000


@pytest.mark.parametrize(
    ("frame_ms", "seconds"),
    [
        (4.0, 0.7),  # 33 batches of 8 ms come before
        (16.0, 33 * 0.016),  # of 16 ms: 0.53 s, and the two frames before them
        (30.0, 33 * 0.03),
        (100.0, 3.0),  # 33 would take 3.3 s
        (400.0, 14 * 0.4),  # two looks, whatever they take
    ],
)
def test_a_warm_up_that_never_settles_ends(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, frame_ms: float, seconds: float
) -> None:
    """Frames that grow for ever, on a clock of their own."""
    player, now, played = Player(bundle), 0.0, 0

    def play(count: int) -> dict[str, Any]:
        nonlocal now, played
        times = [round(frame_ms * 1e6 * (1 + 1e-3 * (played + i))) for i in range(count)]
        played, now = played + count, now + sum(times) / 1e9
        return {"frame_ns": times}

    monkeypatch.setattr(player, "play", play)
    monkeypatch.setattr(bench_worker.time, "perf_counter", lambda: now)
    told = player.warm(10_000, 0.7, 3.0)
    assert not told["settled"]
    ended = sum(told["frame_ns"]) / 1e9
    assert max(seconds, 0.7) <= ended <= max(seconds, 0.7) * 1.1 + 4 * frame_ms / 1000


def test_errors_are_told_as_json_and_end_it(bundle: Path, tmp_path: Path) -> None:
    (told,) = say(tmp_path / "none.v2v", [], status=1)
    assert told["error"]["code"].startswith("V2V-E1")
    np.save(tmp_path / "clip.npy", np.zeros((1, 8, 8, 3), np.uint8))
    (told,) = say(bundle, [], "--clip", str(tmp_path / "clip.npy"), status=1)
    assert told["error"]["code"] == "V2V-E3079"
    assert "[1, 8, 8, 3]" in told["error"]["text"]
    _, told = say(bundle, [{"do": "emit", "to": "-", "clip": str(tmp_path / "none.npy")}], status=1)
    assert "cannot read none.npy" in told["error"]["text"]
    _, told = say(bundle, [{"do": "dance"}], status=1)
    assert told["error"]["code"] == "V2V-E3078"


def test_its_imports_are_those_of_a_player(bundle: Path) -> None:
    """A worker starts a hundred times in a comparison: neither torch, scipy nor the exporter is loaded."""
    script = (
        "import sys; from pathlib import Path; from v2v_runtime.bench_worker import Player; "
        f"Player(Path({str(bundle)!r})).push(); print(sorted({{name.split('.')[0] for name in sys.modules}}))"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    for heavy in ("torch", "onnx", "scipy", "v2v_export", "diffusers", "transformers", "av"):
        assert f"'{heavy}'" not in loaded, heavy
