"""The runtime's own worker, with every frame made slower by a share of the time that it took by itself.

    python slowed_worker.py SHARE BUNDLE [--target NAME] [--clip FILE.npy]

The processor spins for that share before the picture is handed over, as work that a change added would: 0.05
is 5 %. Both sides of a comparison run through this file, the base with a share of 0.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from v2v_runtime.bench_worker import Player, main


def slowed(share: float) -> type[Player]:
    """A player whose frames take ``1 + share`` of their time."""

    class SlowedPlayer(Player):
        def push(self) -> None:
            clock = time.perf_counter_ns
            begin = clock()
            super().push()
            until = begin + round((clock() - begin) * (1 + share))
            while clock() < until:
                pass

    return SlowedPlayer


def command(share: float, bundle: Path, clip: Path | None = None) -> tuple[str, ...]:
    """The command that starts such a worker."""
    words = (sys.executable, str(Path(__file__).resolve()), repr(share), str(bundle))
    return words if clip is None else (*words, "--clip", str(clip))


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:], slowed(float(sys.argv[1]))))
