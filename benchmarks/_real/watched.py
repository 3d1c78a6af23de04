"""The command line's own ``build`` in a process of its own, and the memory that it takes.

Resident sizes are sampled: of the whole process tree, where pages that processes share count in each of them,
which makes the sum an upper bound, and of the largest single process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it has no stubs
from v2v_export.progress import Progress

SAMPLE_SECONDS = 0.03
_LOG_LINES = 20


@dataclass
class Watched:
    """What a build did.

    Attributes:
        status: exit status; below zero where a signal ended it.
        seconds: all of it, the interpreter's start included.
        tree: peak bytes of all its processes together.
        process: peak bytes of its largest process.
        largest: what that process was running.
        told: what ``--json`` printed; empty after a failure.
        log: the end of its output, where it failed.
    """

    status: int = 0
    seconds: float = 0.0
    tree: int = 0
    process: int = 0
    largest: str = ""
    told: dict[str, Any] = field(default_factory=dict)
    log: str = ""


def watch_build(recipe: Path, gpus: Sequence[str], folder: Path, progress: Progress) -> Watched:
    """Builds with a store of its own below ``folder``, into ``folder``."""
    main = "import sys; from v2v_export.cli import main; sys.exit(main())"
    out = folder / f"{recipe.stem}.v2v"
    arguments = ["build", str(recipe), "--out", str(out), "--json"]
    for gpu in gpus:
        arguments += ["--gpu", gpu]
    environment = {**os.environ, "V2V_CACHE": str(folder / "store")}
    watched = Watched()
    begin = time.perf_counter()
    with (folder / "told.json").open("wb") as told, (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", main, *arguments], stdout=told, stderr=log, env=environment, cwd=folder
        )
        try:
            root = psutil.Process(process.pid)
            while process.poll() is None:
                _sample(root, watched)
                progress.step(f"{time.perf_counter() - begin:.0f} s, peak {watched.tree / 1e9:.2f} GB")
                time.sleep(SAMPLE_SECONDS)
        finally:
            if process.poll() is None:
                # It takes its own children with it.
                process.terminate()
                process.wait()
    watched.seconds, watched.status = time.perf_counter() - begin, process.returncode
    if watched.status == 0:
        watched.told = json.loads((folder / "told.json").read_text(encoding="utf-8"))
    else:
        text = (folder / "log.txt").read_text(encoding="utf-8", errors="replace")
        watched.log = "\n".join(text.splitlines()[-_LOG_LINES:]).replace(str(folder), "...")
    return watched


def _sample(root: psutil.Process, watched: Watched) -> None:
    try:
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    total = 0
    for process in tree:
        try:
            resident = process.memory_info().rss
            if resident > watched.process:
                watched.process, watched.largest = resident, _role(process)
        except psutil.NoSuchProcess:
            continue
        total += resident
    watched.tree = max(watched.tree, total)


def _role(process: psutil.Process) -> str:
    """The module that a process runs: ``build`` itself, or a child's."""
    command = process.cmdline()
    return command[command.index("-m") + 1] if "-m" in command else "v2v_export.cli"
