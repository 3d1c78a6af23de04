"""A pytest plugin: tests of a bundle beside a project's other tests.

    pytest --v2v-bundle out/model.v2v [--v2v-target cpu] [--v2v-base main/model.v2v [--v2v-rounds 16]]
           [--v2v-trust SHA256]

Fixtures (tests that use them are skipped where no bundle is named):

``v2v_bundle``
    The opened bundle, every file hashed.
``v2v_stream``
    A new stream on it, closed after the test.
``v2v_latency``
    ``v2v_export.bench.statistics.Latency`` of the stream, measured once per session after its times have
    settled, over so many frames that a 95th percentile can be told. Where they have not settled after 20
    seconds, every test that uses it, or marks a deadline, has a warning and the property ``v2v_settled``
    "false" in JUnit XML.
``v2v_comparison``
    ``v2v_export.compare.CompareReport`` of the bundle against ``--v2v-base``, made once per session. Without
    a verdict (NOISY, INCONCLUSIVE) its tests are skipped with the reason.

Markers: ``v2v_deadline(ms)`` fails a test if more than one of the stream's frames in twenty takes longer,
whichever fixtures the test uses, and skips it on a machine under load or where too few frames tell;
``v2v_frames(n)`` says how many frames a turn of the measurement plays at least. ``--v2v-strict`` fails what
would be skipped for want of a verdict.

Times want a machine of their own: do not run these tests under pytest-xdist's ``-n``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    # Every pytest run in an environment with this package imports this file: nothing else of ours with it.
    from v2v_runtime.bundle import Bundle
    from v2v_runtime.stream import Stream

    from v2v_export.bench.statistics import Latency
    from v2v_export.compare import CompareReport

TURNS = 6


@dataclass(frozen=True)
class _Measured:
    """The stream's times and each frame's, why the machine was not fit to judge them (empty if it was), and
    whether they had settled before."""

    latency: Latency
    milliseconds: tuple[float, ...]
    noise: tuple[str, ...]
    settled: bool


_MEASURED = pytest.StashKey["dict[int, _Measured]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--v2v-bundle`` and its companions."""
    group = parser.getgroup("v2v", "v2v-export: tests of a bundle")
    group.addoption("--v2v-bundle", type=Path, metavar="FOLDER", help="the bundle that v2v fixtures play")
    group.addoption("--v2v-target", metavar="NAME", help="its target; the only one, or cpu, if not given")
    group.addoption(
        "--v2v-trust",
        action="append",
        default=[],
        metavar="SHA256",
        help="load the engine of this hash though it was not built here, or all engines of the target of "
        "this hash; may be given several times",
    )
    group.addoption(
        "--v2v-base", type=Path, metavar="FOLDER", help="the bundle that v2v_comparison compares with"
    )
    group.addoption(
        "--v2v-rounds",
        type=_rounds,
        metavar="N",
        help="rounds of v2v_comparison, at least 12; 16 if not given",
    )
    group.addoption(
        "--v2v-strict", action="store_true", help="fail where there is no verdict, in place of skipping"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Tells the markers."""
    config.addinivalue_line(
        "markers", "v2v_deadline(ms): fail if more than one of the stream's frames in twenty takes longer"
    )
    config.addinivalue_line(
        "markers", "v2v_frames(n): frames of each turn that v2v_latency measures, at least"
    )
    config.stash[_MEASURED] = {}


@pytest.fixture(scope="session")
def v2v_bundle(request: pytest.FixtureRequest) -> Bundle:
    """The bundle that ``--v2v-bundle`` names, fully verified."""
    from v2v_runtime.bundle import Bundle

    return Bundle.open(_folder(request.config, "--v2v-bundle"))


@pytest.fixture
def v2v_stream(v2v_bundle: Bundle, request: pytest.FixtureRequest) -> Iterator[Stream]:
    """A new stream on the bundle."""
    from v2v_runtime.opening import trust_options
    from v2v_runtime.stream import Stream

    target, trust = _played(request.config)
    with Stream(v2v_bundle, target, options=trust_options(v2v_bundle, target, trust)) as stream:
        yield stream


@pytest.fixture
def v2v_latency(v2v_bundle: Bundle, request: pytest.FixtureRequest) -> Latency:
    """What a frame takes, measured once per session for each number of frames that tests mark."""
    found = _measured(v2v_bundle, request)
    if found.noise:
        _no_verdict(request.config, f"NOISY: {'; '.join(found.noise)}")
    _tell_unsettled(request.node, found)
    return found.latency


@pytest.fixture(autouse=True)
def _v2v_deadline(request: pytest.FixtureRequest) -> None:
    """Holds every test that marks a deadline to it, whatever it uses itself."""
    marker = request.node.get_closest_marker("v2v_deadline")
    if marker is None:
        return
    from v2v_export.bench.deadline import LateFrames
    from v2v_export.bench.report import UNSETTLED

    deadline = _number(marker, "ms")
    found = _measured(request.getfixturevalue("v2v_bundle"), request)
    if found.noise:
        _no_verdict(request.config, f"NOISY: {'; '.join(found.noise)}")
    _tell_unsettled(request.node, found)
    latency, late = found.latency, LateFrames.of(found.milliseconds, deadline)
    if late.kept is None:
        _no_verdict(request.config, f"OPEN: {late}; more frames tell (v2v_frames)")
    if not late.kept:
        pytest.fail(
            f"{late} (p50 {latency.p50:.3f}, p95 {latency.p95:.3f}, worst {latency.worst:.3f})"
            + ("" if found.settled else f"; {UNSETTLED}"),
            pytrace=False,
        )


@pytest.fixture(scope="session")
def v2v_comparison(v2v_bundle: Bundle, request: pytest.FixtureRequest) -> CompareReport:
    """The bundle against ``--v2v-base``, with a verdict: assert on it, or on ``passed``."""
    from v2v_export.compare import CompareJob, Verdict
    from v2v_export.compare.bundles import compare_bundles, trusting
    from v2v_export.compare.job import ROUNDS
    from v2v_export.compare.side import worker_command
    from v2v_export.progress import SilentProgress

    base, head = _folder(request.config, "--v2v-base"), v2v_bundle.root
    target, trust = _played(request.config)
    job = CompareJob(
        lambda clip: worker_command(base, target, clip, (sys.executable,)),
        lambda clip: worker_command(head, target, clip, (sys.executable,)),
        bundles=(base, head),
        rounds=request.config.getoption("--v2v-rounds") or ROUNDS,
    )
    with trusting((base, head), target, trust):
        report = compare_bundles(base, head, job, SilentProgress())
    if report.verdict in (Verdict.NOISY, Verdict.INCONCLUSIVE):
        _no_verdict(request.config, "\n".join(report.lines()))
    return report


def _rounds(words: str) -> int:
    """The number of ``--v2v-rounds``; too few for a verdict are a usage error."""
    from v2v_export.compare.verdict import LEAST_ROUNDS

    if not words.isdecimal() or int(words) < LEAST_ROUNDS:
        raise argparse.ArgumentTypeError(f"{words!r}: a number of rounds, at least {LEAST_ROUNDS}")
    return int(words)


def _folder(config: pytest.Config, option: str) -> Path:
    folder = config.getoption(option)
    if folder is None:
        pytest.skip(f"{option} names no bundle")
    path: Path = folder
    return path


def _played(config: pytest.Config) -> tuple[str | None, list[str]]:
    """The target that ``--v2v-target`` names, and what ``--v2v-trust`` trusts."""
    return config.getoption("--v2v-target"), config.getoption("--v2v-trust")


def _no_verdict(config: pytest.Config, why: str) -> NoReturn:
    if config.getoption("--v2v-strict"):
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


def _tell_unsettled(test: pytest.Item, found: _Measured) -> None:
    """Warns once per test, in JUnit XML too, of figures that were measured before the times had settled."""
    from v2v_export.bench.report import UNSETTLED

    told = ("v2v_settled", "false")
    if not found.settled and told not in test.user_properties:
        test.user_properties.append(told)
        test.warn(pytest.PytestWarning(f"v2v_latency: {UNSETTLED}"))


def _number(marker: pytest.Mark, name: str) -> float:
    """The one number that a marker takes, by position or by name."""
    given = [*marker.args, *(value for key, value in marker.kwargs.items() if key == name)]
    numbers = [value for value in given if isinstance(value, int | float) and value > 0]
    if len(numbers) != 1 or len(marker.args) + len(marker.kwargs) != 1:
        words = [*map(repr, marker.args), *(f"{key}={value!r}" for key, value in marker.kwargs.items())]
        pytest.fail(
            f"{marker.name}({', '.join(words)}): {marker.name}({name}) takes one number above 0",
            pytrace=False,
        )
    return float(numbers[0])


def _measured(bundle: Bundle, request: pytest.FixtureRequest) -> _Measured:
    """The stream's times for as many frames a turn as the test marks."""
    from v2v_export.bench.statistics import P95_RUNS

    marker = request.node.get_closest_marker("v2v_frames")
    asked = 20 if marker is None else int(_number(marker, "n"))
    frames = max(asked, -(-P95_RUNS // TURNS))
    known = request.config.stash[_MEASURED]
    if frames not in known:
        known[frames] = _measure(bundle, *_played(request.config), frames)
    return known[frames]


def _measure(bundle: Bundle, target: str | None, trust: list[str], frames: int) -> _Measured:
    from v2v_export.bench.interleave import interleave
    from v2v_export.bench.noise import NoiseWatch
    from v2v_export.bench.sides import StreamSide
    from v2v_export.clip import moving_frames

    (size,) = bundle.manifest.program.inputs.values()
    side = StreamSide("stream", bundle.root, target, trust)
    try:
        clip = list(moving_frames(8, size.height, size.width))
        watch = NoiseWatch()
        track = interleave([side], clip, blocks=TURNS, block_frames=frames)["stream"]
        milliseconds = tuple(1e3 * seconds for seconds in track.frame_seconds)
        return _Measured(track.latency, milliseconds, watch.stop(), track.settled)
    finally:
        side.close()
