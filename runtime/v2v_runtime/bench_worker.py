"""One side of a latency comparison: plays a bundle in a fresh process and says how long each frame took.

    python -m v2v_runtime.bench_worker BUNDLE [--target NAME] [--clip FILE.npy]

It speaks JSON, one object a line. First it says what it plays (``Hello``); then it answers one line to each
command on its standard input:

``{"do": "warm", "most": N, "seconds": S, "patience": P}``
    Plays until the frame times have settled (``v2v_runtime.settling``), N frames at most; S seconds at most
    once there are as many as scatter ever asks for, and P seconds at most once they were looked at twice (as
    long as it takes, without them): ``{"frames", "settled", "frame_ns"}``.
``{"do": "play", "frames": N}``
    Plays N frames, a multiple of the period: ``{"frame_ns": [...], "total_ns", "cpu_ns"}``. ``frame_ns`` runs
    from a frame handed over to its picture in hand; ``total_ns`` holds the work after it too (late calls),
    and ``cpu_ns`` is the processor time of this process, all threads, over the same span.
``{"do": "emit", "to": FILE, "clip": FILE}``
    From a reset, the pictures of all frames of a clip, flushed, as uint8 [M, H, W, 3]: ``{"emitted": M}``.
``{"do": "count", "frames": N}``
    The exact counters of N frames (``v2v_runtime.counters``): ``{"counters": {...}}``.
``{"do": "quit"}``

Another environment (an older commit's, say) takes part in a comparison if its worker speaks the same
``protocol``. What goes wrong is told as ``{"error": {"code", "text"}}``, and ends the process with status 1.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import StreamError, V2VError
from v2v_runtime.opening import choose_target
from v2v_runtime.schedule import whole_period
from v2v_runtime.settling import WarmUp
from v2v_runtime.stream import Stream

PROTOCOL = 1
"""Changes when a command or an answer changes its meaning."""

Frames = NDArray[np.uint8]


class Player:
    """A stream and the clip that it plays round and round."""

    def __init__(self, bundle: Path, target: str | None = None, clip: Path | None = None) -> None:
        opened = Bundle.open(bundle, verify="sizes")
        begin = time.perf_counter()
        chosen = choose_target(opened, target)
        self.target = f"{chosen.profile}.{chosen.backend}"
        self.stream = Stream(opened, target)
        self.open_seconds = time.perf_counter() - begin
        self.manifest = opened.manifest
        self.period = whole_period(self.manifest.program)
        self.clip = _own_clip(opened) if clip is None else self._read(clip)
        self._frames: Iterator[Frames] = cycle(self.clip)

    def hello(self) -> dict[str, Any]:
        """What this side plays."""
        (size,) = self.manifest.program.inputs.values()
        (given,) = self.manifest.program.outputs.values()
        return {
            "protocol": PROTOCOL,
            "name": self.manifest.name,
            "system": self.manifest.system,
            "identity": self.manifest.identity,
            "target": self.target,
            "height": size.height,
            "width": size.width,
            "output_height": given.height,
            "output_width": given.width,
            "period": self.period,
            "open_seconds": self.open_seconds,
            "versions": _versions(),
        }

    def _read(self, path: Path) -> Frames:
        """A clip from a file.

        Raises:
            StreamError: it is no clip of the stream's size (V2V-E3079).
        """
        (size,) = self.manifest.program.inputs.values()
        wanted = f"uint8 [N, {size.height}, {size.width}, 3], N above 0"
        try:
            frames: Frames = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise StreamError("V2V-E3079", f"cannot read {path.name}: {error}", wanted) from None
        if frames.dtype != np.uint8 or frames.shape[1:] != (size.height, size.width, 3) or not len(frames):
            raise StreamError("V2V-E3079", f"{path.name} holds {frames.dtype} {list(frames.shape)}", wanted)
        return frames

    def push(self) -> None:
        """Plays the clip's next frame; returns when its picture is in hand."""
        self.stream.push(next(self._frames))

    def play(self, count: int) -> dict[str, Any]:
        """See the module: the command ``play``."""
        clock, push = time.perf_counter_ns, self.push
        times = []
        collecting = gc.isenabled()
        gc.collect()
        gc.disable()
        try:
            used, begin = time.process_time_ns(), clock()
            for _ in range(count):
                before = clock()
                push()
                times.append(clock() - before)
            self.stream.set_params()  # waits for late calls; does nothing else
            total, used = clock() - begin, time.process_time_ns() - used
        finally:
            if collecting:
                gc.enable()
        return {"frame_ns": times, "total_ns": total, "cpu_ns": used}

    def warm(self, most: int, seconds: float = math.inf, patience: float = math.inf) -> dict[str, Any]:
        """See the module: the command ``warm``."""
        warm_up, begin = WarmUp(self.period), time.perf_counter()
        while not warm_up.settled and len(warm_up.frame_ns) + warm_up.wanted <= most:
            taken = time.perf_counter() - begin
            if (warm_up.waited and taken > seconds) or (warm_up.judged and taken > patience):
                break
            warm_up.add(self.play(warm_up.wanted)["frame_ns"])
        times = warm_up.frame_ns
        return {"frames": len(times), "settled": warm_up.settled, "frame_ns": times}

    def emit(self, to: Path, clip: Path) -> dict[str, Any]:
        """See the module: the command ``emit``."""
        self.stream.reset(params=True)
        frames = self._read(clip)
        made = [frame.rgb8 for rgb in frames for frame in self.stream.push(rgb)]
        made += [frame.rgb8 for frame in self.stream.flush()]
        self.stream.reset()
        (size,) = self.manifest.program.outputs.values()
        pictures = np.stack(made) if made else np.empty((0, size.height, size.width, 3), np.uint8)
        np.save(to, pictures, allow_pickle=False)
        return {"emitted": len(pictures)}

    def count(self, count: int) -> dict[str, Any]:
        """See the module: the command ``count``."""
        before = self.stream.counters
        for _ in range(count):
            self.push()
        self.stream.set_params()
        done = self.stream.counters - before
        return {"counters": {name: getattr(done, name) for name in done.__slots__}}


def serve(player: Player, commands: IO[str], answers: IO[str]) -> None:
    """Answers commands until ``quit`` or the end of the input."""
    handlers: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
        "warm": lambda command: player.warm(
            command["most"], command.get("seconds", math.inf), command.get("patience", math.inf)
        ),
        "play": lambda command: player.play(command["frames"]),
        "emit": lambda command: player.emit(Path(command["to"]), Path(command["clip"])),
        "count": lambda command: player.count(command["frames"]),
    }
    _say(answers, player.hello())
    for line in commands:
        command = json.loads(line)
        if command["do"] == "quit":
            return
        if command["do"] not in handlers:
            raise StreamError(
                "V2V-E3078", f"unknown command {command['do']!r}", f"one of {', '.join(handlers)}, quit"
            )
        _say(answers, handlers[command["do"]](command))


def main(argv: Sequence[str] | None = None, make: Callable[..., Player] = Player) -> int:
    """The command line; see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m v2v_runtime.bench_worker", description="One side of a latency comparison."
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--target", help="which target to play")
    parser.add_argument("--clip", type=Path, help="uint8 [N, H, W, 3] in a .npy file")
    options = parser.parse_args(argv)
    try:
        player = make(options.bundle, options.target, options.clip)
        gc.collect()
        gc.freeze()  # what is loaded stays: the collection before each turn need not look at it again
        serve(player, sys.stdin, sys.stdout)
    except V2VError as error:
        _say(sys.stdout, {"error": {"code": error.code, "text": str(error)}})
        return 1
    return 0


def _own_clip(bundle: Bundle) -> Frames:
    """The bundle's self-test frames, or noise where it has none."""
    (size,) = bundle.manifest.program.inputs.values()
    if bundle.manifest.selftest is not None:
        return bundle.blob(bundle.manifest.selftest.input)
    return np.random.default_rng(0).integers(0, 256, (8, size.height, size.width, 3), np.uint8)


def _versions() -> dict[str, str]:
    """What computes, of what is loaded."""
    modules = (sys.modules.get(name) for name in ("v2v_runtime", "onnxruntime", "numpy"))
    return {module.__name__: str(getattr(module, "__version__", "")) for module in modules if module}


def _say(answers: IO[str], what: Mapping[str, Any]) -> None:
    answers.write(json.dumps(what) + "\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
