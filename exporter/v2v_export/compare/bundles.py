"""Compares two bundles that both play one and the same clip."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.bundle import Bundle
from v2v_runtime.opening import choose_target, trusted_engines
from v2v_runtime.schedule import whole_period
from v2v_runtime.trust import trusted_by_children

from v2v_export.compare.clip import Clip, shared_clip
from v2v_export.compare.job import CompareJob, check_pair, run_compare
from v2v_export.compare.report import CompareReport
from v2v_export.compare.side import Hello
from v2v_export.progress import Progress


def compare_bundles(
    base: Path,
    head: Path,
    job: CompareJob,
    progress: Progress,
    frames_of: Callable[[Bundle], NDArray[np.uint8]] | None = None,
) -> CompareReport:
    """``run_compare``, with one clip for both sides, which the report names.

    Args:
        job: without a clip.
        frames_of: makes the clip that the user gives, of the frame size of both; None: ``shared_clip``.

    Raises:
        BuildError: the bundles do different work (V2V-E8206), told before anything is played; or see
            ``run_compare``.
    """
    both = Bundle.open(base, verify="sizes"), Bundle.open(head, verify="sizes")
    check_pair(*map(_described, both))
    if frames_of is not None:
        clip = Clip("the given clip", frames_of(both[1]))
        report = run_compare(replace(job, clip=clip.frames), progress)
    else:
        clip = shared_clip(*both)
        report = _run(job, clip, progress)
    report = replace(report, clip=clip)
    if job.out is not None:
        report.write(job.out)
    return report


@contextmanager
def trusting(bundles: Iterable[Path], target: str | None, trust: Sequence[str]) -> Iterator[None]:
    """Lets workers that are started in the block load engines from elsewhere.

    They are told by their environment, not by an option: a side may run an older runtime, or a player of the
    user's own.

    Args:
        target: that is played of each bundle.
        trust: hashes of engines, or of targets (``v2v_runtime.trust``); empty: nothing is opened or told.
    """
    engines: set[str] = set()
    for path in bundles if trust else ():
        opened = Bundle.open(path, verify="sizes")
        engines.update(trusted_engines(opened, choose_target(opened, target), tuple(trust)))
    with trusted_by_children(engines):
        yield


def _run(job: CompareJob, clip: Clip, progress: Progress) -> CompareReport:
    """With commands that name the clip: the job itself has none, so pictures are held to the self-test's."""
    with tempfile.TemporaryDirectory(prefix="v2v-clip-") as folder:
        path = Path(folder) / "clip.npy"
        np.save(path, clip.frames, allow_pickle=False)
        sides = replace(job, base=lambda _: job.base(path), head=lambda _: job.head(path))
        return run_compare(sides, progress)


def _described(bundle: Bundle) -> Hello:
    """What a worker would say of a bundle before it opens a target."""
    manifest = bundle.manifest
    (taken,), (given,) = manifest.program.inputs.values(), manifest.program.outputs.values()
    return Hello(
        manifest.name,
        manifest.system,
        manifest.identity,
        "",
        taken.height,
        taken.width,
        given.height,
        given.width,
        whole_period(manifest.program),
        0.0,
        {},
    )
