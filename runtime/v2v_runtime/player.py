"""``v2v-run``: plays a bundle on a video file or a camera, without the exporter.

Exit status 0: played; 1: an error, told with its code; 2: the command line was wrong; 3: the self-test
missed; 130: stopped with Ctrl-C. A stopped or failed run leaves no output file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import Any, get_args

from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import MediaError, V2VError
from v2v_runtime.opening import trust_options
from v2v_runtime.param_changes import Changes
from v2v_runtime.param_options import ParamOptions
from v2v_runtime.playing import PlayReport, Sink, play
from v2v_runtime.stream import Stream
from v2v_runtime.video import Fit, VideoReader, VideoWriter
from v2v_runtime.video.window import Window


@contextlib.contextmanager
def progress_line(total: int | None) -> Iterator[Callable[[int, float], None]]:
    """A line on stderr that is drawn again a few times a second; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda frames, fps: None
        return
    drawn = 0.0

    def show(frames: int, fps: float) -> None:
        nonlocal drawn
        now = time.monotonic()
        if now - drawn >= 0.2:
            drawn = now
            of = f" of {total}" if total else ""
            sys.stderr.write(f"\r\x1b[Kframe {frames}{of}, {fps:.1f} frames per second")
            sys.stderr.flush()

    try:
        yield show
    finally:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


@dataclass(frozen=True)
class Job:
    """What to play, and where to: the options that ``v2v-run`` and ``v2v-export run`` share.

    Attributes:
        source: a video file, or ``camera:N``.
        output: a video file to write; None: none.
        target: the bundle's target; None: the only one that plays here.
        fit: how pictures of another size become the stream's frames.
        limit: frames to read at most.
        salvage: take damage in the source as its end.
        window: show the pictures on the screen.
        trust: sha256 of engines that may be loaded though they were not built on this machine, or of the
            target's ``target.json``, which stands for all of its engines (``v2v_runtime.trust``).
        params: what to set before the first frame.
        changes: what to change later, see ``param_changes``.
    """

    bundle: Path
    source: str
    output: Path | None = None
    target: str | None = None
    fit: Fit = "crop"
    limit: int | None = None
    salvage: bool = False
    window: bool = False
    trust: tuple[str, ...] = ()
    params: ParamOptions = field(default_factory=ParamOptions)
    changes: tuple[str, ...] = ()

    def run(self, note: Callable[[str], None] = lambda text: None) -> PlayReport:
        """Plays it.

        Args:
            note: told what a user might not expect, such as the end of a prompt that is left out.

        Raises:
            V2VError: with its own code; then there is no output file, or the one that was there before.
        """
        if self.output is None and not self.window:
            raise MediaError("V2V-E9012", "nowhere to play to", "an output file, a window, or both")
        if self.output is not None and _same_file(self.source, self.output):
            raise MediaError(
                "V2V-E9011",
                f"{self.output} is the input",
                "another file",
                "give the output a name of its own",
            )
        with contextlib.ExitStack() as stack:
            bundle = Bundle.open(self.bundle)
            values = self.params.values(bundle, note)
            changes = Changes(self.changes, bundle, values, note)
            trusted = trust_options(bundle, self.target, self.trust)
            stream = stack.enter_context(Stream(bundle, self.target, options=trusted))
            stream.set_params(values)
            changes.check(stream)
            (frame,) = stream.session.program.inputs.values()
            reader = stack.enter_context(
                VideoReader(self.source, size=(frame.height, frame.width), fit=self.fit, salvage=self.salvage)
            )
            sinks: list[Sink] = []
            if self.output is not None:
                rate, ticks = Fraction(reader.info.rate), reader.time_base
                sinks.append(stack.enter_context(VideoWriter(self.output, rate=rate, time_base=ticks)))
            stops = [stack.enter_context(_interrupt_ends())] if reader.live else []
            if self.window:
                window = stack.enter_context(Window(f"{self.bundle.name}: Esc or q ends it"))
                sinks.append(window)
                stops.append(lambda: window.closed)
            show = stack.enter_context(progress_line(self.limit or reader.info.frames))
            stop = lambda: any(asked() for asked in stops)  # noqa: E731 - a name for the keyword below
            first: list[int] = []

            def change(index: int, pts: int) -> None:
                first[:] = first or [pts]
                changes.apply(stream, index, (pts - first[0]) * reader.time_base)

            report = play(stream, reader, sinks, limit=self.limit, before=change, progress=show, stop=stop)
            for word in changes.left:
                note(f"--at {word}: the video ended before it")
            lost = report.frames_in - report.frames_out
            if lost and changes.entered:
                frames = "1 frame was" if lost == 1 else f"{lost} frames were"
                note(f"{frames} in flight when a phase was entered again, and did not come out")
            return report


@contextlib.contextmanager
def _interrupt_ends() -> Iterator[Callable[[], bool]]:
    """For a camera, which has no end of its own: Ctrl-C ends the recording and keeps it."""
    asked = False

    def ask(signum: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True

    previous = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, previous)


def _same_file(source: str, output: Path) -> bool:
    return os.path.exists(source) and output.exists() and os.path.samefile(source, output)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``v2v-run`` and returns its exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if not arguments.selftest and not arguments.input:
        parser.error("--input is needed, or --selftest")
    try:
        return _selftest(arguments) if arguments.selftest else _play(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; no output was written\n")
        return 130
    except V2VError as error:
        if arguments.debug:
            raise
        sys.stderr.write(f"{error}\n")
        if arguments.json:
            _tell({"error": {name: getattr(error, name) for name in ("code", "seen", "expected", "fix")}})
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="v2v-run",
        description="Play a bundle on a video file or a camera, and say how fast it was.",
        epilog="example: v2v-run demo.v2v --input in.mp4 --output out.mp4",
    )
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument("-i", "--input", help="a video file, or camera:0")
    parser.add_argument("-o", "--output", type=Path, help="a video file to write: .mp4, .m4v, .mov or .mkv")
    parser.add_argument("-w", "--window", action="store_true", help="show the pictures on the screen")
    parser.add_argument("-t", "--target", help="which target to play, such as cpu or rtx4090")
    parser.add_argument(
        "--fit",
        choices=get_args(Fit),
        default="crop",
        help="how pictures of another size are made to fit (default: crop)",
    )
    parser.add_argument("--prompt", metavar="TEXT", help="what to show; for bundles with a text encoder")
    parser.add_argument(
        "--negative", metavar="TEXT", help="what not to show; for bundles with guidance by it"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a param: numbers, or FILE.safetensors[:TENSOR]; may be given several times",
    )
    parser.add_argument(
        "--at",
        action="append",
        default=[],
        metavar="WHEN:NAME=VALUE",
        help="change a param before a frame, counted from 0, or at a time such as 4.5s; NAME may be prompt, "
        "negative, or enter (a phase); may be given several times",
    )
    parser.add_argument("--frames", type=_count, metavar="N", help="stop after N frames")
    parser.add_argument("--salvage", action="store_true", help="take damage in the input as its end")
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="SHA256",
        help="load the engine of this hash though it was not built here, or all of the target whose "
        "target.sha256 holds it; engines are native code; may be given several times",
    )
    parser.add_argument("--selftest", action="store_true", help="play the bundle's own frames and compare")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of frames, at least 1")
    return int(text)


def _play(arguments: argparse.Namespace) -> int:
    job = Job(
        bundle=arguments.bundle,
        source=arguments.input,
        output=arguments.output,
        target=arguments.target,
        fit=arguments.fit,
        limit=arguments.frames,
        salvage=arguments.salvage,
        window=arguments.window,
        trust=tuple(arguments.trust),
        params=ParamOptions(arguments.prompt, arguments.negative, tuple(arguments.set)),
        changes=tuple(arguments.at),
    )
    report = job.run(lambda text: print(f"note: {text}", file=sys.stderr))
    if arguments.json:
        _tell({"output": None if job.output is None else str(job.output), **report.as_dict()})
        return 0
    sys.stdout.write("\n".join(report.lines()) + "\n")
    if job.output is not None:
        sys.stdout.write(f"wrote {job.output}\n")
    return 0


def _selftest(arguments: argparse.Namespace) -> int:
    bundle = Bundle.open(arguments.bundle)
    trusted = trust_options(bundle, arguments.target, arguments.trust)
    with Stream(bundle, arguments.target, options=trusted) as stream:
        report = stream.selftest()
    if arguments.json:
        _tell({"passed": report.passed, **asdict(report)})
    else:
        sys.stdout.write(
            f"self-test {'passed' if report.passed else 'FAILED'}: {report.frames} of {report.expected} "
            f"frames, off by at most {report.max_difference} levels of {report.tolerance} allowed\n"
        )
    return 0 if report.passed else 3


def _tell(result: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
