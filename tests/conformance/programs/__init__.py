"""The five families of systems as synthetic programs, and one whose graph updates a slot. Each comes with a
simulation that says what comes out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from conformance.programs.base import Synthetic
from conformance.programs.entries import entries
from conformance.programs.lipar import lipar
from conformance.programs.live2diff import live2diff
from conformance.programs.shortcut import shortcut_v2v
from conformance.programs.stream_diffusion import std, stream_diffusion
from conformance.programs.streamv2v import streamv2v

#: name -> what makes it.
PROGRAMS: dict[str, Callable[[], Synthetic]] = {
    "shortcut_v2v-shortcut": partial(shortcut_v2v, "shortcut"),
    "shortcut_v2v-teacher": partial(shortcut_v2v, "teacher"),
    "live2diff": live2diff,
    "stream_diffusion": stream_diffusion,
    "std": std,
    "streamv2v": streamv2v,
    "lipar": lipar,
    "entries": entries,
}
