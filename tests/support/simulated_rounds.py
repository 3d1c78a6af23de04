"""Rounds of a comparison that are drawn: the level of a process, drifts of turns, noise of frames."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from v2v_export.bench.host import HostSpan
from v2v_export.compare.job import ROUNDS
from v2v_export.compare.rounds import Round, SideRound, Turn
from v2v_export.compare.side import Hello
from v2v_export.compare.verdict import Compared, Judgement

HELLO = Hello("a", "s", "0" * 64, "cpu.onnxruntime", 16, 24, 16, 24, 1, 0.1, {})
QUIET = HostSpan(1.0, 1.0, 1.0)


def rounds_of(
    rng: np.random.Generator,
    slower: float = 0.0,
    *,
    count: int = ROUNDS,
    process: float = 0.006,
    drift: float = 0.02,
    frame: float = 0.05,
    frames: int = 50,
    turns: int = 4,
    host: HostSpan = QUIET,
    period: int = 1,
    **side: Any,
) -> list[Round]:
    """Rounds: a level per process, a drift per turn that both sides share, and one-sided noise per frame."""
    made = []
    for _ in range(count):
        drifts = np.exp(rng.normal(0, drift, turns))
        sides = []
        for excess in (0.0, slower):
            level = 4 * (1 + excess) * math.exp(rng.normal(0, process))
            played = []
            for common in drifts:
                times = level * common * (1 + np.abs(rng.standard_t(3, frames)) * frame)
                played.append(Turn(tuple(times.tolist()), float(times.sum())))
            sides.append(
                SideRound(replace(HELLO, period=period), 40, side.get("settled", True), tuple(played))
            )
        made.append(Round(("ABBA", "BAAB"), sides[0], sides[1], host))
    return made


def figure(found: Judgement, what: str) -> Compared:
    """The one figure of that name."""
    (figure,) = (item for item in found.compared if item.what == what)
    return figure
