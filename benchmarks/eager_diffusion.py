"""A recipe's stream on ONNX Runtime's CPU provider against PyTorch eager of the same rewritten graphs.

Both sides play the same program in one process, in turns. Exit status: 0 the stream is fast enough, 1 an
error, 2 usage, 3 it is not, or the run does not tell. Speed means nothing on busy cores.

    python benchmarks/eager_diffusion.py examples/std/v2v.toml [--blocks 12] [--limit 1.5] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from _real import record
from v2v_export.bench.eager import EagerSide
from v2v_export.bench.interleave import Track, interleave
from v2v_export.bench.sides import StreamSide
from v2v_export.bench.statistics import LEAST_BLOCKS, Ratio, compare
from v2v_export.build import build
from v2v_export.clip import moving_frames
from v2v_export.errors import V2VError
from v2v_export.profiles import load_profile
from v2v_export.recipe import Recipe, load_recipe

STREAM, EAGER = "stream on ONNX Runtime", "PyTorch eager, same graphs"
CLIP_FRAMES = 24


def main(argv: Sequence[str] | None = None) -> int:
    """Builds, measures, prints; returns the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        return _measure(arguments)
    except V2VError as error:
        print(error, file=sys.stderr)
        return 1


def _measure(arguments: argparse.Namespace) -> int:
    recipe = load_recipe(arguments.recipe)
    about = record.machine()
    print(f"{about['cpu']}, {about['cores']} cores, load {about['load']} before")
    with tempfile.TemporaryDirectory(prefix="v2v-eager-") as folder:
        result = build(recipe, Path(folder, f"{recipe.name}.v2v"), [load_profile("cpu")])
        stream = StreamSide(STREAM, result.bundle, None)
        eager = EagerSide(EAGER, recipe.system.load(recipe.weights, recipe.options, recipe.size))
        frames = list(moving_frames(CLIP_FRAMES, recipe.size.height, recipe.size.width))
        try:
            tracks = interleave(
                [stream, eager], frames, blocks=arguments.blocks, block_frames=arguments.block_frames
            )
        finally:
            stream.close()
    print(f"{recipe.name}, {recipe.size.height}x{recipe.size.width}, {torch.get_num_threads()} torch threads")
    for name, track in tracks.items():
        latency = track.latency
        print(f"  {name}: p50 {latency.p50:.2f} ms, p95 {latency.p95:.2f} ms, {latency.fps:.1f} frames/s")
    ratio = compare(STREAM, tracks[STREAM].block_means, EAGER, tracks[EAGER].block_means)
    print(f"  {ratio}; wanted at least {arguments.limit:g}")
    if arguments.json is not None:
        _write(arguments.json, recipe, about, tracks, ratio, arguments.limit)
    return 0 if ratio.low >= arguments.limit else 3


def _write(
    path: Path,
    recipe: Recipe,
    about: Mapping[str, Any],
    tracks: Mapping[str, Track],
    ratio: Ratio,
    limit: float,
) -> None:
    """Writes the record, whole or not at all."""
    document = {
        "schema": record.SCHEMA,
        "name": "stream-against-eager",
        "system": recipe.system.name,
        "case": {"recipe": recipe.name, "height": recipe.size.height, "width": recipe.size.width},
        "machine": {**about, "torch_threads": torch.get_num_threads()},
        "sides": {name: asdict(track.latency) for name, track in tracks.items()},
        "ratio": {**asdict(ratio), "limit": limit, "conclusive": ratio.low >= limit},
    }
    record.write_document(path, document)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--blocks", type=_blocks, default=12, help="blocks per side")
    parser.add_argument("--block-frames", type=int, default=12, help="frames per side and block")
    parser.add_argument("--limit", type=float, default=1.5, help="times as fast as eager that passes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found and on what machine")
    return parser


def _blocks(text: str) -> int:
    number = int(text)
    if number < LEAST_BLOCKS:
        raise argparse.ArgumentTypeError(f"at least {LEAST_BLOCKS} blocks make an interval")
    return number


if __name__ == "__main__":
    sys.exit(main())
