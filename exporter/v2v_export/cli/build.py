"""``v2v-export build``: from a recipe to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from v2v_export.cli._progress import progress_of
from v2v_export.cli._session import Debug, Json, Session
from v2v_export.cli._status import status_words

if TYPE_CHECKING:
    from v2v_export.build import BuildResult

PANEL = "Make a bundle"


def command(
    context: typer.Context,
    recipe: Annotated[Path, typer.Argument(help="The recipe; `v2v-export init` writes one.")] = Path(
        "v2v.toml"
    ),
    gpu: Annotated[
        list[str] | None,
        typer.Option(
            "--gpu",
            "-g",
            metavar="PROFILE",
            help="A GPU to build for, such as `rtx4090`, or `cpu`; may be given several times. `v2v-export "
            "profiles` lists them.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="The bundle's folder; NAME.v2v beside the recipe if not given.",
        ),
    ] = None,
    no_verify: Annotated[
        bool,
        typer.Option(
            "--no-verify", help='Do not compare with PyTorch; targets are called "built, not verified".'
        ),
    ] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Build a bundle: graphs, engines for the GPUs you name, and proof that they compute the same.

    For example: `v2v-export build v2v.toml --gpu cpu --gpu rtx4090 --out my.v2v`

    Without `--gpu`, the recipe's own profiles are built. No GPU has to be there: engines for another machine
    are built here and marked "built, not run here". A build that was stopped goes on where it was; the same
    build again does nothing. Exit status 3: the result differs from PyTorch, and nothing was published.
    """
    from v2v_export.build import build
    from v2v_export.profiles import load_profile
    from v2v_export.recipe import load_recipe

    session = Session.of(context)
    read = load_recipe(recipe)
    profiles = [load_profile(name) for name in dict.fromkeys(gpu or read.profiles)]
    with progress_of(session) as progress:
        result = build(read, out, profiles, progress=progress, verify=not no_verify)
    _print(session, result)
    session.tell(
        {
            "bundle": result.bundle,
            "up_to_date": result.up_to_date,
            "targets": {
                name: {
                    "status": target.status,
                    "variant": target.variant,
                    "verification": target.verification,
                }
                for name, target in result.targets.items()
            },
            "stages": [
                {
                    "name": stage.name,
                    "outcome": stage.outcome,
                    "seconds": stage.seconds,
                    "parts": dict(stage.parts),
                }
                for stage in result.stages
            ],
            "notes": result.notes,
        }
    )


def _print(session: Session, result: BuildResult) -> None:
    if result.up_to_date:
        session.out.print(f"[bold]{result.bundle}[/] is up to date: nothing to do")
    else:
        session.out.print(f"[bold]{result.bundle}[/]")
    for name, target in result.targets.items():
        session.out.print(f"  {name:24} {status_words(target)}, variant {target.variant}")
        if not result.up_to_date:
            for text in target.verification.get("not_verified", ()):
                session.out.print(f"    not verified: {text}", markup=False, style="dim")
