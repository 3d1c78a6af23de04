"""Builds a recipe, and ends itself where the test wants it: the tests of killed builds start this.

``driver.py RECIPE OUT STORE [--kill STAGE TEXT | --interrupt STAGE TEXT] [--limit BYTES]
[--verify]``

STAGE is the beginning of a stage's name, TEXT that of a step's text in it (empty: the stage's start). Events
go to stdout as JSON lines. Exit status: 0, 1 after a V2VError (told as an event), 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
from pathlib import Path

from v2v_export.build import build
from v2v_export.errors import V2VError
from v2v_export.profiles import load_profile
from v2v_export.progress import JsonProgress
from v2v_export.recipe import load_recipe
from v2v_export.store import Store


class EndingProgress(JsonProgress):
    """Sends this process a signal at one event."""

    def __init__(self, at: tuple[str, str], signum: int) -> None:
        super().__init__(sys.stdout)
        self._at, self._signum = at, signum

    def start(self, stage: str, total: int | None = None) -> None:
        super().start(stage, total)
        self._end("")

    def step(self, text: str = "", done: int | None = None, total: int | None = None) -> None:
        super().step(text, done, total)
        if text:
            self._end(text)

    def _end(self, text: str) -> None:
        stage, wanted = self._at
        here = self._stage.startswith(stage) and text.startswith(wanted) and bool(text) == bool(wanted)
        if self._signum and here:
            os.kill(os.getpid(), self._signum)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("recipe", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--kill", nargs=2)
    parser.add_argument("--interrupt", nargs=2)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--verify", action="store_true")
    given = parser.parse_args()
    if given.limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (given.limit, given.limit))
    at = given.kill or given.interrupt or ("", "")
    signum = signal.SIGKILL if given.kill else signal.SIGINT if given.interrupt else 0
    progress = EndingProgress((at[0], at[1]), signum)
    try:
        recipe = load_recipe(given.recipe)
        profiles = [load_profile(name) for name in recipe.profiles]
        store = Store(given.store)
        result = build(recipe, given.out, profiles, store=store, progress=progress, verify=given.verify)
    except V2VError as error:
        print(json.dumps({"event": "error", "code": error.code, "text": str(error)}), flush=True)
        return 1
    except KeyboardInterrupt:
        return 130
    heavy = sorted({"torch", "onnx", "onnxruntime"} & set(sys.modules))
    print(json.dumps({"event": "result", "up_to_date": result.up_to_date, "imported": heavy}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
