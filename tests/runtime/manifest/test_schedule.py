"""The schedule rules against a simulation that goes through the steps one by one."""

from __future__ import annotations

import math
import random
import time
from pathlib import Path

import pytest
from support.bundles import make_manifest
from v2v_runtime.errors import ManifestError
from v2v_runtime.manifest.model import (
    Call,
    Emit,
    Every,
    FileEntry,
    FrameSpec,
    Graph,
    Manifest,
    Phase,
    Program,
    Slot,
    TensorSpec,
    View,
)
from v2v_runtime.manifest.validate import validate

FRAME = TensorSpec("uint8", (1, 4, 6, 3))
VIDEO = {"video": FrameSpec(4, 6)}
GRAPHS = {"g": Graph({"x": FRAME}, {"y": FRAME})}
PLAY_EMIT = Emit("out")


def manifest_of(phases: tuple[Phase, ...], slots: dict[str, Slot] | None = None) -> Manifest:
    manifest = make_manifest(Program(VIDEO, VIDEO, phases, 1, slots or {}), GRAPHS)
    files = (FileEntry("graphs/g.onnx", 1, "0" * 64),)
    return Manifest(**{name: getattr(manifest, name) for name in Manifest.__slots__} | {"files": files})


def simulated(calls: tuple[Call, ...], steps: int) -> bool:
    """Whether every step can be played as it is written: each name made once, before it is read."""
    ran: set[str] = set()
    for step in range(steps):
        made: set[str] = set()
        made_late: set[str] = set()
        rows: list[int] = []
        for call in calls:
            if isinstance(call.when, Every) and step % call.when.every not in call.when.at:
                continue
            ran.add(call.name)
            source, result = call.inputs["x"], call.outputs["y"]
            assert isinstance(source, str)
            if source != "video" and source not in (made | made_late if call.late else made):
                return False
            if isinstance(result, View):
                if set(rows) & set(range(result.start, result.start + result.length)):
                    return False
                rows += range(result.start, result.start + result.length)
            else:
                assert result is not None
                if result in made | made_late:
                    return False
                (made_late if call.late else made).add(result)
        if "out" not in made:
            return False
    return ran == {call.name for call in calls}


def random_calls(chance: random.Random) -> tuple[Call, ...]:
    calls = []
    names = ["out", "a", "b"]
    for i in range(chance.randrange(2, 6)):
        every = chance.choice([1, 2, 2, 3, 4])
        at = tuple(sorted(chance.sample(range(every), chance.randrange(1, every + 1))))
        when = None if every == 1 or chance.random() < 0.3 else Every(every, at)
        source = chance.choice(["video", "video", "video", "a", "b"])
        result = chance.choice([*names, *names, View("state", chance.randrange(3), 1)])
        calls.append(Call(f"c{i}", "g", {"x": source}, {"y": result}, when))
    if chance.random() < 0.3:
        calls.append(
            Call("late", "g", {"x": chance.choice(["a", "out"])}, {"y": chance.choice(names)}, late=True)
        )
    return tuple(calls)


@pytest.mark.parametrize("steps", [None, 1, 2, 5])
def test_agrees_with_a_simulation(steps: int | None) -> None:
    good = bad = 0
    codes = set()
    for seed in range(1500):
        chance = random.Random(f"{steps} {seed}")
        calls = random_calls(chance)
        named = {value for call in calls for value in call.outputs.values() if isinstance(value, str)}
        if any(call.inputs["x"] not in {"video", *named} for call in calls) or "out" not in named:
            continue  # a name that nothing has is another rule
        slots = {"state": Slot("uint8", (3, 4, 6, 3))}
        if not any(isinstance(value, View) for call in calls for value in call.outputs.values()):
            slots = {}
        end = Phase("end", "forever", (Call("end", "g", {"x": "video"}, {"y": "out"}),), emit=PLAY_EMIT)
        if steps is None:
            phases: tuple[Phase, ...] = (Phase("play", "forever", calls, emit=PLAY_EMIT),)
        else:
            phases = (Phase("play", steps, calls, emit=PLAY_EMIT), end)
        try:
            validate(manifest_of(phases, slots))
            accepted = True
        except ManifestError as error:
            codes.add(error.code)
            accepted = False
        period = math.lcm(*(call.when.every for call in calls if isinstance(call.when, Every)))
        assert accepted == simulated(calls, 2 * period if steps is None else steps), (seed, calls)
        good += accepted
        bad += not accepted
    assert good > 30
    assert bad > 100
    assert {"V2V-E2063", "V2V-E2064", "V2V-E2068"} <= codes
    assert codes <= {"V2V-E2062", "V2V-E2063", "V2V-E2064", "V2V-E2065", "V2V-E2068"}


def test_largest_program_is_checked_in_time(tmp_path: Path) -> None:
    """As many calls as a phase may have, with the longest period and one slot written in as many views."""
    slots = {"state": Slot("uint8", (4096, 4, 6, 3))}
    calls = [
        Call(f"c{i}", "g", {"x": "video"}, {"y": View("state", i, 1)}, Every(4096, (i,)), in_place=("y",))
        for i in range(4095)
    ]
    calls.append(Call("emit", "g", {"x": "video"}, {"y": "out"}))
    begin = time.process_time()
    validate(manifest_of((Phase("play", "forever", tuple(calls), emit=PLAY_EMIT),), slots))
    assert time.process_time() - begin < 60
