"""``v2v-export run``: play a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from v2v_export.cli._judging import trust_option
from v2v_export.cli._session import Debug, Json, Session

PANEL = "Play it"


def command(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    source: Annotated[
        str, typer.Option("--input", "-i", help="A video file, or `camera:0`, the first camera.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A video file to write: .mp4, .m4v, .mov or .mkv.")
    ] = None,
    window: Annotated[bool, typer.Option("--window", "-w", help="Show the pictures on the screen.")] = False,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            help="Target to play, such as `cpu` or `rtx4090`; the only one, or `cpu`, if not given.",
        ),
    ] = None,
    fit: Annotated[
        str, typer.Option("--fit", help="How pictures of another size are made to fit: crop, pad or stretch.")
    ] = "crop",
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", metavar="TEXT", help="What to show; for bundles with a text encoder."),
    ] = None,
    negative: Annotated[
        str | None,
        typer.Option(
            "--negative", metavar="TEXT", help="What not to show; for bundles whose guidance takes one."
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Set a param of the bundle, to numbers or FILE.safetensors[:TENSOR]; may be given several "
            "times. `v2v-export inspect` lists the params.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--at",
            metavar="WHEN:NAME=VALUE",
            help="Change a param before a frame, counted from 0, or at a time such as `4.5s`. NAME is a "
            "param as for --set, `prompt` or `negative` for a text, or `enter` for a phase to begin anew; "
            "may be given several times.",
        ),
    ] = None,
    frames: Annotated[int | None, typer.Option("--frames", min=1, help="Stop after so many frames.")] = None,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Play a damaged video up to the damage, in place of an error.")
    ] = False,
    trust: Annotated[list[str] | None, trust_option()] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Play a bundle on a video file or a camera, into a video file or a window, and say how fast it was.

    For example: `v2v-export run my.v2v --input in.mp4 --output out.mp4`

    `v2v-run`, the runtime's own player, does the same where v2v-export is not installed.
    """
    from v2v_runtime.param_options import ParamOptions
    from v2v_runtime.player import Job

    session = Session.of(context)
    job = Job(
        bundle=bundle,
        source=source,
        output=output,
        target=target,
        fit=fit,  # type: ignore[arg-type]  # the reader checks it
        limit=frames,
        salvage=salvage,
        window=window,
        trust=tuple(trust or ()),
        params=ParamOptions(prompt, negative, tuple(assignments or ())),
        changes=tuple(changes or ()),
    )
    report = job.run(lambda text: session.log.print(text, markup=False))
    for line in report.lines():
        session.out.print(line)
    if output is not None:
        session.out.print(f"wrote [bold]{output}[/]")
    session.tell({"output": output, **report.as_dict()})
