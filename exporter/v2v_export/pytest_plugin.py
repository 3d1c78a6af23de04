"""A pytest plugin: tests of a bundle beside a project's other tests.

    pytest --v2v-bundle out/model.v2v [--v2v-target cpu] [--v2v-base main/model.v2v [--v2v-rounds 12]]

Fixtures (tests that use them are skipped where no bundle is named):

``v2v_bundle``
    The opened bundle, every file hashed.
``v2v_stream``
    A new stream on it, closed after the test.
``v2v_latency``
    ``v2v_export.bench.statistics.Latency`` of the stream, measured once per session after its times have
    settled.
``v2v_comparison``
    ``v2v_export.compare.CompareReport`` of the bundle against ``--v2v-base``, made once per session.

Markers: ``v2v_deadline(ms)`` fails a test whose stream's p95 takes longer; ``v2v_frames(n)`` says how many
frames a turn of the measurement plays at least.

Times want a machine of their own: do not run these tests under pytest-xdist's ``-n``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    # Every pytest run in an environment with this package imports this file: nothing else of ours with it.
    from v2v_runtime.bundle import Bundle
    from v2v_runtime.stream import Stream

    from v2v_export.bench.statistics import Latency
    from v2v_export.compare import CompareReport

_LATENCY = pytest.StashKey["dict[int, Latency]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--v2v-bundle`` and its companions."""
    group = parser.getgroup("v2v", "v2v-export: tests of a bundle")
    group.addoption("--v2v-bundle", type=Path, metavar="FOLDER", help="the bundle that v2v fixtures play")
    group.addoption("--v2v-target", metavar="NAME", help="its target; the only one, or cpu, if not given")
    group.addoption(
        "--v2v-base", type=Path, metavar="FOLDER", help="the bundle that v2v_comparison compares with"
    )
    group.addoption(
        "--v2v-rounds", type=int, metavar="N", help="rounds of v2v_comparison, at least 8; 12 if not given"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Tells the markers."""
    config.addinivalue_line(
        "markers", "v2v_deadline(ms): fail if the stream's p95, as v2v_latency measures it, takes longer"
    )
    config.addinivalue_line(
        "markers", "v2v_frames(n): frames of each turn that v2v_latency measures, at least"
    )
    config.stash[_LATENCY] = {}


@pytest.fixture(scope="session")
def v2v_bundle(request: pytest.FixtureRequest) -> Bundle:
    """The bundle that ``--v2v-bundle`` names, fully verified."""
    from v2v_runtime.bundle import Bundle

    return Bundle.open(_folder(request.config, "--v2v-bundle"))


@pytest.fixture
def v2v_stream(v2v_bundle: Bundle, request: pytest.FixtureRequest) -> Iterator[Stream]:
    """A new stream on the bundle."""
    from v2v_runtime.stream import Stream

    with Stream(v2v_bundle, request.config.getoption("--v2v-target")) as stream:
        yield stream


@pytest.fixture
def v2v_latency(v2v_bundle: Bundle, request: pytest.FixtureRequest) -> Latency:
    """What a frame takes, measured once per session; fails the test if it marks a deadline that is missed."""
    marker = request.node.get_closest_marker("v2v_frames")
    frames = int(marker.args[0]) if marker else 20
    known = request.config.stash[_LATENCY]
    if frames not in known:
        known[frames] = _measure(v2v_bundle, request.config.getoption("--v2v-target"), frames)
    latency = known[frames]
    deadline = request.node.get_closest_marker("v2v_deadline")
    if deadline is not None and latency.p95 > float(deadline.args[0]):
        pytest.fail(
            f"p95 is {latency.p95:.3f} ms over {latency.frames} frames, the deadline {deadline.args[0]} ms "
            f"(p50 {latency.p50:.3f}, worst {latency.worst:.3f})",
            pytrace=False,
        )
    return latency


@pytest.fixture(scope="session")
def v2v_comparison(v2v_bundle: Bundle, request: pytest.FixtureRequest) -> CompareReport:
    """The bundle against ``--v2v-base``: assert on its ``verdict``, or on ``passed``."""
    from v2v_export.compare import CompareJob, run_compare
    from v2v_export.compare.job import ROUNDS
    from v2v_export.compare.side import worker_command
    from v2v_export.progress import SilentProgress

    base, head = _folder(request.config, "--v2v-base"), v2v_bundle.root
    target = request.config.getoption("--v2v-target")
    job = CompareJob(
        lambda clip: worker_command(base, target, clip, (sys.executable,)),
        lambda clip: worker_command(head, target, clip, (sys.executable,)),
        bundles=(base, head),
        rounds=request.config.getoption("--v2v-rounds") or ROUNDS,
    )
    return run_compare(job, SilentProgress())


def _folder(config: pytest.Config, option: str) -> Path:
    folder = config.getoption(option)
    if folder is None:
        pytest.skip(f"{option} names no bundle")
    path: Path = folder
    return path


def _measure(bundle: Bundle, target: str | None, frames: int) -> Latency:
    from v2v_export.bench.interleave import interleave
    from v2v_export.bench.sides import StreamSide
    from v2v_export.build.selftest import moving_frames

    (size,) = bundle.manifest.program.inputs.values()
    side = StreamSide("stream", bundle.root, target)
    try:
        clip = list(moving_frames(8, size.height, size.width))
        return interleave([side], clip, blocks=6, block_frames=frames)["stream"].latency
    finally:
        side.close()
