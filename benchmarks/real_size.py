"""Shortcut-V2V at the paper's size, 256x512: parity over 64 frames, float16 graphs, speed, memory; and the
diffusion systems' real-size recipes, ``examples/*/real.toml``, built for a GPU.

Weights are random with fixed seeds. Exit status: 0 every limit is kept, 1 an error, 2 usage, 3 a miss.
About 20 minutes on 2 idle cores, and 10 to 50 for each diffusion system, which needs up to 20 GB of memory
and 40 GB of disk; speed means nothing on busy cores.

    python benchmarks/real_size.py [--frames 64] [--only parity|fp16|speed|memory|live2diff|...] [--json FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from _real import diffusion, half, memory, parity, record, speed
from _real.case import Case
from _real.findings import Part, verdicts
from _real.workshop import Workshop
from rich.console import Console
from v2v_export.bench.statistics import LEAST_BLOCKS
from v2v_export.errors import V2VError
from v2v_export.progress import RichProgress

PARTS: dict[str, Callable[[Workshop], Part]] = {
    "parity": parity.run,
    "fp16": half.run,
    "speed": speed.run,
    "memory": memory.run,
    **{
        system: lambda shop, of=system, at=path: diffusion.run(of, at, shop.folder, shop.progress)
        for system, path in diffusion.recipes().items()
    },
}
"""Name -> what runs it, in order."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the parts that were asked for and returns the exit status."""
    arguments = _parser().parse_args(argv)
    case = Case(**{item.name: getattr(arguments, item.name) for item in dataclasses.fields(Case)})
    torch.set_num_threads(case.threads)
    log = Console(stderr=True, highlight=False)
    # Tables into a file or a pipe do not have to fit a terminal.
    out = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    about = record.machine()
    out.print(f"{about['cpu']}, {about['cores']} cores, load {about['load']} before")
    done: dict[str, Part] = {}
    try:
        with (
            tempfile.TemporaryDirectory(prefix="v2v-real-size-", dir=arguments.work) as folder,
            RichProgress(log) as progress,
        ):
            shop = Workshop(case, Path(folder), progress)
            for name in arguments.only or PARTS:
                done[name] = PARTS[name](shop)
                for table in done[name].tables:
                    out.print(table, "")
                if arguments.json is not None:
                    # After every part: an error in a later one loses nothing.
                    record.write(arguments.json, case, about, done)
    except V2VError as error:
        log.print(str(error), markup=False, style="red")
        return 1
    except KeyboardInterrupt:
        log.print("stopped")
        return 130
    out.print(verdicts(done))
    return 0 if all(part.met for part in done.values()) else 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=_count, default=Case.frames, help="frames that parity plays")
    parser.add_argument("--only", action="append", choices=tuple(PARTS), help="one part; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found and on what machine")
    parser.add_argument("--threads", type=_count, default=Case.threads, help="of ONNX Runtime and torch")
    parser.add_argument("--blocks", type=_blocks, default=Case.blocks, help="turns of each side in speed")
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="where to work; about 2 GB, 40 for a diffusion system"
    )
    # Smaller sizes are for working on this benchmark: its limits are those of the real one.
    for name in ("height", "width", "ngf", "n_blocks", "hidden", "interval"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Case, name), help=argparse.SUPPRESS)
    parser.add_argument("--level", default=Case.level, help=argparse.SUPPRESS)
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def _blocks(text: str) -> int:
    if int(text) < LEAST_BLOCKS:
        raise argparse.ArgumentTypeError(f"{text} turns give no interval; at least {LEAST_BLOCKS} do")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
