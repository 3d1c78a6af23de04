"""What cannot fit a GPU is refused before any work: nothing is read, traced or played for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from v2v_export.build import build
from v2v_export.cli import main
from v2v_export.errors import RecipeError
from v2v_export.levers import lever
from v2v_export.profiles import load_profile
from v2v_export.recipe import Recipe
from v2v_export.store import Store
from v2v_export.system import FrameSize, GraphOptions, GraphSpec
from v2v_runtime.manifest.model import (
    Call,
    CallOverride,
    Emit,
    FrameSpec,
    Phase,
    Program,
    Ring,
    Slot,
    TensorSpec,
    View,
)

MIB = 1 << 20
ROW = 1450 * MIB  # of a 512x512 stream's caches, half of it constant, half of it rings of 8
WEIGHTS = 1_280_000_000


@dataclass(frozen=True)
class Options:
    rows: int = lever(5, "state", advice="rows below 5", spent=lambda rows: rows == 1)


class Caches:
    """A program with the state of Live2Diff at 512x512, and nothing that could be loaded."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def program(self) -> Program:
        size = FrameSpec(512, 512)
        half = ROW // 2 // 2  # of float16 numbers
        warm = tuple(
            Call(f"warm{row}", "warm", {}, {"kv": View("sinks", row, 1)}) for row in range(self.rows)
        )
        step = Call("step", "step", {"sinks": "sinks", "ring": "ring"}, {"new": "ring", "out": "out"})
        first = Call("first", "decode", {}, {"out": "out"})
        return Program(
            inputs={"frame": size},
            outputs={"frame": size},
            slots={
                "sinks": Slot("float", (self.rows, half)),
                "ring": Slot("float", (8, self.rows, half // 8), ring=Ring(8)),
            },
            phases=(
                Phase("warmup", 1, (*warm, first), gather=8, emit=Emit("out")),
                Phase("stream", "forever", (step,), resets=("ring",), emit=Emit("out")),
            ),
            max_frames=8,
        )

    def weight_counts(self) -> Mapping[str, int]:
        return {"warm": WEIGHTS, "step": WEIGHTS, "decode": 1_000_000}

    def overrides(self, options: GraphOptions) -> Mapping[str, CallOverride]:
        return {}

    def _worked(self, *arguments: Any) -> NoReturn:
        raise AssertionError("work was begun")

    blobs = reference = teacher = _worked

    def graphs(self, options: GraphOptions) -> list[GraphSpec]:
        """Declarations; their modules are work."""
        half = ROW // 2 // 2
        out = {"out": TensorSpec("uint8", (8, 512, 512, 3))}
        sinks = TensorSpec("float", (self.rows, half))
        ring, new = (TensorSpec("float", (count, self.rows, half // 8)) for count in (8, 1))
        return [
            GraphSpec("warm", self._worked, {}, {"kv": TensorSpec("float", (1, half))}, resident="phase"),
            GraphSpec("step", self._worked, {"sinks": sinks, "ring": ring}, {"new": new, "out": out["out"]}),
            GraphSpec("decode", self._worked, {}, out),
        ]


class CacheSystem:
    name, title = "caches", "caches alone"
    weights = ()
    lowerings: Mapping[str, tuple[str, ...]] = {}
    options: type[Any] = Options

    def template(self) -> str:
        return ""

    def load(self, weights: Any, options: Any, size: FrameSize) -> Any:
        return Caches(options.rows)


def recipe(folder: Path, rows: int) -> Recipe:
    return Recipe("caches", CacheSystem(), FrameSize(512, 512), {}, Options(rows), path=folder / "v2v.toml")


def test_a_stream_of_five_rows_is_refused_on_a_board_of_12_gb(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(RecipeError) as caught:
        build(recipe(tmp_path, 5), None, [load_profile("rtx4070")], store=store)
    error = caught.value
    assert error.code == "V2V-E5201"
    # 7250 MiB of caches; rows of the constant half wait for warm-up's commit, an eighth of the ring for a
    # step's: 7250 + 3625 + 453.125 MiB. In warm-up all weights are loaded: 2 x 2.561e9 bytes. Eight frames of
    # 768 KiB go in and as many come out: 4.7702 + 11.0626 + 0.0117 GiB.
    assert "at least 15.84 GiB on rtx4070 in phase 'warmup'" in error.seen
    assert "weights 4.77 GiB" in error.seen
    assert "state 11.06 GiB" in error.seen
    assert "activations, which are not known before it is built" in error.seen
    assert "phase 'stream' does not fit either" in error.seen
    ways = error.fix.split("; ")
    assert ways[0] == "state: rows below 5, or a smaller frame: height and width under [frame]"
    assert len(ways) == 2, "of the weights no option takes anything"
    assert ways[1].startswith("or a GPU with more memory: --gpu ")
    assert not (tmp_path / "caches.v2v").exists()
    assert not list((tmp_path / "store").rglob("files.json")), "no stage was run"


def test_two_rows_go_on_to_the_work(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="work was begun"):
        build(recipe(tmp_path, 2), None, [load_profile("rtx4070")], store=Store(tmp_path / "store"))


def test_a_cpu_s_memory_is_the_user_s_own_affair(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="work was begun"):
        build(recipe(tmp_path, 50), None, [load_profile("cpu")], store=Store(tmp_path / "store"))


def test_explain_tells_a_recipe_s_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("v2v_export.recipe.load_recipe", lambda path: recipe(tmp_path, 5))
    path = str(tmp_path / "v2v.toml")
    assert main(["explain", path, "--gpu", "rtx4090", "--json"]) == 0
    assert '"least": true' in capsys.readouterr().out
    assert main(["explain", path, "--gpu", "rtx4070"]) == 1
    shown = capsys.readouterr()
    assert "V2V-E5201" in shown.err
    assert "15.84" in shown.out
    assert main(["explain", path, "--gpu", "rtx4070", "--gpu", "rtx4090"]) == 1
    assert "RTX 4090" in capsys.readouterr().out, "shown beside the one that does not fit"
    assert main(["explain", path, "--gpu", "rtx4090", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["phases"]["warmup"]["activations"] is None
