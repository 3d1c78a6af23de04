"""The stage ``program``: the stream program, its blobs, and the self-test from the PyTorch reference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from v2v_runtime.blobs import write_safetensors
from v2v_runtime.manifest.encode import to_json
from v2v_runtime.manifest.model import Program
from v2v_runtime.manifest.reader import read_as
from v2v_runtime.manifest.strict_json import load_json

from v2v_export.build import selftest
from v2v_export.build.context import Context
from v2v_export.clip import clip_of
from v2v_export.errors import BuildError
from v2v_export.system import Model
from v2v_export.verify.reference import REFERENCE, Recorder
from v2v_export.verify.schedule import frames_to_cross

_PROGRAM = "program.json"
_BLOBS = "blobs/"


@dataclass(frozen=True)
class ProgramFiles:
    """The program and its blobs.

    Attributes:
        program: what plays the graphs.
        blobs: ``blobs/<file>.safetensors`` -> where it is; the self-test's file among them.
    """

    program: Program
    blobs: Mapping[str, Path]


def program_files(context: Context) -> ProgramFiles:
    """The program and its blobs: from the store, or from the system."""
    folder = context.cached(
        "self-test", "program", context.core, lambda folder: _produce(context, folder), None
    )
    document = load_json((folder / _PROGRAM).read_bytes())
    return ProgramFiles(
        program=read_as(Program, document["program"]),
        blobs={name: folder / name for name in document["blobs"]},
    )


def _produce(context: Context, folder: Path) -> None:
    model = context.model()
    program = model.program()
    blobs: dict[str, Mapping[str, Any]] = dict(model.blobs())
    for name in blobs:
        if not name.startswith(_BLOBS) or name == selftest.FILE:
            raise BuildError(
                "V2V-E7023",
                f"the system has a blob file {name!r}",
                f"a path under {_BLOBS} other than {selftest.FILE}",
                "correct its blobs() and the references in its program",
            )
    if context.recipe.verify.frames:
        blobs[selftest.FILE] = _selftest(context, model, program)
    for name, tensors in blobs.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_safetensors(path, tensors)
    document = {"program": to_json(program), "blobs": sorted(blobs)}
    (folder / _PROGRAM).write_text(json.dumps(document), encoding="utf-8")


def _selftest(context: Context, model: Model, program: Program) -> dict[str, Any]:
    """The clip and what the reference makes of it; verification reads on in what is recorded here."""
    count = context.recipe.verify.frames
    frames = clip_of(program, count)

    def step(done: int) -> None:
        context.progress.step("playing the PyTorch reference", done, count)

    reference = model.reference()
    if not context.verifying:
        taken, emitted = selftest.play(reference, program, frames, step)
        return {"input": taken, "output": emitted}
    recorder = Recorder(reference, program, frames_to_cross(program), context.scratch / REFERENCE)
    taken, emitted = selftest.play(recorder, program, frames, step)
    recorder.finish()
    return {"input": taken, "output": emitted}
