"""A worker without a bundle: speaks the protocol and makes its times up, from a seed and a slowdown.

python fake_worker.py '{"frame_ms": 4, "slower": 0.05, "noise": 0.01, "process_noise": 0.005, ...}'
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from typing import Any


def main() -> int:
    say = json.loads(sys.argv[1])
    if "log" in say:
        with open(say["log"], "a") as log:
            log.write(f"{say['name']} {os.getpid()}\n")
    seed = say.get("seed", 0) * 1_000_003 + _counted(say)
    rng = random.Random(seed)
    level = (
        say.get("frame_ms", 4.0)
        * (1 + say.get("slower", 0.0))
        * (1 + rng.gauss(0, say.get("process_noise", 0)))
    )
    if say.get("silent"):
        return 5
    if "says" in say:
        print(say["says"], flush=True)
        return 1
    hello = {
        "protocol": say.get("protocol", 1),
        "name": say["name"],
        "system": say.get("system", "fake"),
        "identity": "0" * 64,
        "target": say.get("target", "cpu.onnxruntime"),
        "height": say.get("height", 16),
        "width": 24,
        "output_height": say.get("output_height", 16),
        "output_width": 24,
        "period": say.get("period", 1),
        "open_seconds": 0.1,
        "versions": {},
    }
    _tell({name: value for name, value in hello.items() if name not in say.get("leaves_out", ())})
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "quit":
            break
        if say.get("dies_at") == command["do"]:
            sys.stderr.write("out of luck\n")
            return 7
        if say.get("hangs_at") == command["do"]:
            time.sleep(60)
        _tell(_answer(command, say, level, rng))
    return 0


def _answer(command: dict[str, Any], say: dict[str, Any], level: float, rng: random.Random) -> dict[str, Any]:
    if command["do"] == "count":
        counted: dict[str, Any] = say["counted"]
        return counted
    count = command["frames"] if command["do"] == "play" else min(40, command["most"])
    extra = say.get("refresh_ms", 0.0)
    warm = say.get("warm_share", 1.0) if command["do"] == "warm" else 1.0
    frames = []
    for index in range(count):
        refresh = extra if index % say.get("period", 1) == say.get("period", 1) - 1 else 0.0
        frames.append(int(warm * (level + refresh) * 1e6 * (1 + abs(rng.gauss(0, say.get("noise", 0.01))))))
    if say.get("stands_still_at") == command["do"]:
        frames = [0] * count
    if say.get("forgets_at") == command["do"]:
        return {"frame_ns": frames}
    if command["do"] == "warm":
        return {"frames": count, "settled": say.get("settles", True), "frame_ns": frames}
    total = say.get("total_ns") or round(sum(frames) + 1e6 * say.get("late_ms", 0.0))
    return {"frame_ns": frames, "total_ns": total, "cpu_ns": total}


def _counted(say: dict[str, Any]) -> int:
    """How many workers of this name were started before, from a file: each round is another process."""
    if "count" not in say:
        return 0
    path = f"{say['count']}.{say['name']}"
    with open(path, "a") as file:
        file.write("x")
    return os.path.getsize(path) * (1 if say["name"] == "base" else 7919)


def _tell(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
