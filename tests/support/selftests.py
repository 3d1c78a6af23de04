"""Synthetic programs with frames to test themselves with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from conformance.programs import PROGRAMS
from conformance.programs.base import Frame
from support.bundles import make_bundle, make_manifest
from support.pairs import Footage
from v2v_runtime.bundle import Bundle
from v2v_runtime.manifest.model import BlobRef, SelfTest

BLOB = "blobs/selftest.safetensors"


def simulated(name: str, count: int) -> tuple[list[Frame], list[Frame]]:
    """Frames, and what the algorithm makes of them, flushed."""
    simulation = PROGRAMS[name]().simulate()
    footage = Footage(3)
    clip = [footage.next() for _ in range(count)]
    shown = [picture for i, frame in enumerate(clip) for picture, _ in simulation.push(frame, i)]
    return clip, shown + [picture for picture, _ in simulation.flush()]


def bundle_with_selftest(folder: Path, name: str, off_by: int = 0, count: int = 14) -> Bundle:
    """A bundle of the program with ``count`` frames and what they show; one value is ``off_by`` off."""
    synthetic = PROGRAMS[name]()
    clip, shown = simulated(name, count)
    expected = np.stack(shown)
    expected[-1, 0, 0, 0] = (int(expected[-1, 0, 0, 0]) + off_by) % 256
    test = SelfTest(BlobRef(BLOB, "input"), BlobRef(BLOB, "output"), {"float32": 1})
    blobs = {BLOB: {"input": np.stack(clip), "output": expected}}
    if synthetic.blobs:
        blobs["blobs/tables.safetensors"] = dict(synthetic.blobs)
    manifest = make_manifest(synthetic.program, synthetic.graphs(), selftest=test)
    return make_bundle(folder, manifest, synthetic.onnx(), blobs)
