"""``v2v-export demo``: see it work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from v2v_export.cli._progress import progress_of
from v2v_export.cli._session import Debug, Json, Session

if TYPE_CHECKING:
    from v2v_export.demo.run import DemoReport

PANEL = "Play it"


def command(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder that takes everything.")] = Path(
        "out/demo"
    ),
    source: Annotated[
        Path | None,
        typer.Option("--input", "-i", help="A video of yours; a clip of photographs is made if not given."),
    ] = None,
    gpu: Annotated[
        list[str] | None,
        typer.Option(
            "--gpu", "-g", help="Build for this GPU too, such as `rtx4090`; may be given several times."
        ),
    ] = None,
    frames: Annotated[
        int | None, typer.Option("--frames", min=1, help="Translate so many frames at most.")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Build a bundle of a small comic-drawing model, translate a video with it, and say what was measured.

    Everything lands in one folder: the recipe, the bundle, the translated video, and one that shows side by
    side the input, the model without its acceleration (the full teacher) and the stream. PSNR says how close
    the stream's pictures are to the teacher's; the speed-up is measured with both taking turns.
    """
    _require()
    from v2v_export.demo.run import DemoJob, run_demo

    session = Session.of(context)
    job = DemoJob(out=out, source=source, profiles=tuple(gpu or ()), frames=frames)
    with progress_of(session) as progress:
        report = run_demo(job, progress)
    _print(session, report)
    session.tell(report.as_dict())


def _require() -> None:
    """The demo draws with OpenCV and scikit-image, which nothing else needs."""
    from importlib.util import find_spec

    from v2v_export.errors import V2VError

    missing = [name for name in ("cv2", "skimage", "av") if find_spec(name) is None]
    if missing:
        raise V2VError(
            "V2V-E9120",
            f"the demo needs {', '.join(missing)}, which is not installed",
            "the extras cpu and demo",
            'pip install "v2v-export[cpu,demo]"',
        )


def _print(session: Session, report: DemoReport) -> None:
    from rich.table import Table

    out = session.out
    out.print()
    table = Table(box=None, header_style="dim", pad_edge=False)
    for heading, justify in (("", "left"), ("frames/s", "right"), ("p50 ms", "right"), ("p95 ms", "right")):
        table.add_column(heading, justify="right" if justify == "right" else "left")
    for name, side in (("stream", report.stream), ("full teacher, every frame", report.teacher)):
        table.add_row(name, f"{side.fps:.1f}", f"{side.p50:.1f}", f"{side.p95:.1f}")
    out.print(table)
    out.print(f"{report.speed_up}", markup=False, soft_wrap=True)
    quality = "equal"
    if report.psnr is not None:
        quality = f"PSNR mean {report.psnr:.1f} dB, worst {report.psnr_worst:.1f} dB"
    out.print(
        f"stream's pictures against the full teacher's: {quality} "
        f"({report.compared} of {report.frames} frames; the others are the teacher's own)",
        soft_wrap=True,
    )
    out.print(
        f"{report.frames} frames in {report.play_seconds:.1f} s end to end, with both streams and all videos",
        soft_wrap=True,
    )
    for name, status in report.targets.items():
        out.print(f"{name}: {'verified here' if status == 'verified' else 'built, not run here'}")
    out.print(f"on {report.machine.cpu}, {report.machine.cores} cores", soft_wrap=True)
    out.print()
    for name, path in report.files.items():
        out.print(f"  {name:14} {path}", soft_wrap=True)
