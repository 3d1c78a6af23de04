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
from teacher_stage import balance_features, train_teacher
from torch import nn
from training_data import clips, to_unit
from v2v_export.demo import HEIGHT, INTERVAL, LEVEL, WIDTH
from v2v_export.systems.shortcut_v2v.block import ShortcutBlock
from v2v_export.systems.shortcut_v2v.model import ResnetGenerator
from v2v_export.systems.shortcut_v2v.weights import load_block, load_teacher

NGF, HIDDEN = 16, 16
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
    steps = _train(partial, options.minutes * 60, options.seed, (options.height, options.width))
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
    quality = measure(teacher, block, LEVEL, INTERVAL, options.frames, (options.height, options.width))
    _write(partial / "quality.json", json.dumps({"training": spent, **quality}, indent=2) + "\n")
    os.rename(partial, options.out)
    print(json.dumps(quality, indent=2))


def _train(folder: Path, seconds: float, seed: int, size: tuple[int, int]) -> dict[str, int]:
    """Both stages; writes the log and the weights into ``folder`` and gives the steps of each stage."""
    rng = np.random.default_rng(seed)
    steps: dict[str, int] = {}
    with (folder / "training.jsonl").open("w", encoding="utf-8", buffering=1) as file:

        def log(entry: dict[str, float | int | str]) -> None:
            steps[str(entry["stage"])] = int(entry["step"])
            line = json.dumps(entry)
            file.write(line + "\n")
            print(line, flush=True)

        teacher, block = ResnetGenerator(NGF), ShortcutBlock(2 * NGF, HIDDEN)
        start_block(block)
        train_teacher(teacher, block, rng, size, INTERVAL, Budget(_TEACHER_SHARE * seconds, 2e-3), log)
        balance_features(teacher, block, to_unit(clips(rng, 8, 1, *size, size)[:, 0]))
        _save(teacher, folder / "teacher.safetensors")
        # The block learns from the teacher as it is shipped, after rounding.
        teacher = load_teacher(folder / "teacher.safetensors").requires_grad_(False)
        train_block(
            block,
            teacher.split(LEVEL),
            rng,
            size,
            INTERVAL,
            Budget((1 - _TEACHER_SHARE) * seconds, 1e-3),
            log,
        )
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
    parser.add_argument("--minutes", type=float, default=44.0, help="wall time of both trainings together")
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
