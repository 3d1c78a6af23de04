"""The copy that shows taps, and what playing it takes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from support.toy_system import ToyModel
from v2v_export.system import GraphOptions
from v2v_export.verify.judge import Judge
from v2v_export.verify.tapped import tapped_copy
from v2v_runtime.bundle import Bundle
from v2v_runtime.stream import Stream


def test_no_graph_is_loaded_beside_those_of_its_phase(sound: Bundle, tmp_path: Path) -> None:
    """Live2Diff's warm-up and its step are two UNets: both in float32 are too much for many machines."""
    taps = tapped_copy(
        sound, sound.target("cpu"), ToyModel().graphs(GraphOptions("float32")), tmp_path / "tapped.v2v"
    )
    with Stream(sound) as played, Stream(Bundle.open(taps.root), taps.target) as judged:
        assert played.session.resident_graphs() == ("picture", "refresh")
        assert judged.session.resident_graphs() == ()


def test_memory_is_that_of_the_phase_that_takes_most(sound: Bundle) -> None:
    first, stream = sound.manifest.program.phases
    picture, refresh = stream.calls
    phases = (dataclasses.replace(first, calls=(picture,)), dataclasses.replace(stream, calls=(refresh,)))
    judge = SimpleNamespace(
        program=dataclasses.replace(sound.manifest.program, phases=phases),
        task=SimpleNamespace(weights={"picture": 3000, "refresh": 5000}),
        bundle=sound,
        target=sound.target("cpu"),
    )
    state = 4 * (2 * 3 * 8 * 12 + 4 * 3)  # memory and shade, and a ring of four
    assert Judge._stream_memory(cast(Judge, judge)) == 4.5 * 5000 + 2 * state
