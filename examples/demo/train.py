"""Train the demo's teacher and shortcut block: ``python examples/demo/train.py --out DIR``.

Writes ``teacher.safetensors`` and ``shortcut.safetensors`` (float16, the published checkpoints' key names),
``training.jsonl`` (the losses as they fell) and ``quality.json`` (measured on photographs that are not
trained on). ``DIR`` appears when all of it is there; a run that is stopped leaves ``DIR.partial`` with its
log.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from block_stage import start_block, train_block
from budget import Budget
from quality import measure
from safetensors.torch import save_file
from teacher_stage import train_teacher
from torch import nn
from v2v_export.demo import HEIGHT, INTERVAL, LEVEL, WIDTH
from v2v_export.systems.shortcut_v2v.block import ShortcutBlock
from v2v_export.systems.shortcut_v2v.model import Level, ResnetGenerator
from v2v_export.systems.shortcut_v2v.weights import load_block, load_teacher

NGF, HIDDEN = 16, 32
_TEACHER_SHARE = 0.65


def main() -> None:
    options = _options()
    if options.out.exists():
        raise SystemExit(f"{options.out} exists; give --out a folder that does not")
    partial = options.out.with_name(options.out.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    started, started_cpu = time.monotonic(), time.process_time()
    steps = _train(partial, options)
    spent = {
        "wall_minutes": round((time.monotonic() - started) / 60, 1),
        "cpu_minutes": round((time.process_time() - started_cpu) / 60, 1),
        "threads": options.threads,
        "seed": options.seed,
        "steps": steps,
    }
    # What is measured is what was written: rounded to float16 and read back.
    teacher, block = (
        load_teacher(partial / "teacher.safetensors"),
        load_block(partial / "shortcut.safetensors"),
    )
    quality = measure(
        teacher, block, options.level, INTERVAL, options.frames, (options.height, options.width)
    )
    _write(partial / "quality.json", json.dumps({"training": spent, **quality}, indent=2) + "\n")
    os.rename(partial, options.out)
    print(json.dumps(quality, indent=2))


def _train(folder: Path, options: argparse.Namespace) -> dict[str, int]:
    """The stages asked for; writes the log and the weights into ``folder`` and gives each stage's steps."""
    rng, size, level = np.random.default_rng(options.seed), (options.height, options.width), options.level
    seconds = options.minutes * 60
    steps: dict[str, int] = {}
    with (folder / "training.jsonl").open("w", encoding="utf-8", buffering=1) as file:

        def log(entry: dict[str, float | int | str]) -> None:
            steps[str(entry["stage"])] = int(entry["step"])
            line = json.dumps(entry)
            file.write(line + "\n")
            print(line, flush=True)

        if options.teacher is None:
            share = _TEACHER_SHARE * seconds
            fresh = ResnetGenerator(NGF)
            apprentice = ShortcutBlock(fresh.split(level).channels, options.hidden)
            start_block(apprentice)
            train_teacher(fresh, apprentice, level, rng, size, INTERVAL, Budget(share, 2e-3), log)
            _save(fresh, folder / "teacher.safetensors")
            seconds -= share
        else:
            _save(load_teacher(options.teacher), folder / "teacher.safetensors")
        # The block learns from the teacher as it is shipped, after rounding.
        split = load_teacher(folder / "teacher.safetensors").requires_grad_(False).split(level)
        block = ShortcutBlock(split.channels, options.hidden)
        start_block(block)
        train_block(block, split, rng, size, INTERVAL, Budget(seconds, 2e-3), log)
        _save(block, folder / "shortcut.safetensors")
        os.fsync(file.fileno())
    return steps


def _save(module: nn.Module, path: Path) -> None:
    """The module's parameters as float16 safetensors, whole or absent."""
    state = {name: tensor.detach().half().contiguous() for name, tensor in module.state_dict().items()}
    temporary = path.with_name(path.name + ".tmp")
    save_file(state, temporary)
    # safetensors makes files that only their owner can read; weights are for everyone.
    temporary.chmod(0o644)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.rename(temporary, path)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to make; must not exist")
    parser.add_argument("--teacher", type=Path, help="keep this trained teacher and train only the block")
    parser.add_argument("--minutes", type=float, default=44.0, help="wall time of the trainings together")
    parser.add_argument("--level", choices=[level.value for level in Level], default=LEVEL)
    parser.add_argument("--hidden", type=int, default=HIDDEN, help="the block's channels h")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--height", type=int, default=HEIGHT)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument(
        "--frames", type=int, default=48, help="length of each clip that quality is measured on"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
