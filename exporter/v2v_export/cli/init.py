"""``v2v-export init``: a recipe to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from v2v_export.cli._session import Debug, Json, Session

PANEL = "Make a bundle"


def command(
    context: typer.Context,
    system: Annotated[str, typer.Argument(help="A name that `v2v-export systems` lists, such as `std`.")],
    recipe: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path("v2v.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a commented recipe, `v2v.toml`, that builds as it stands.

    It names random weights, so `v2v-export build` works at once; name your own when you have seen it work.
    """
    from v2v_runtime.atomic import write_file

    from v2v_export.errors import RecipeError
    from v2v_export.registry import find_system

    session = Session.of(context)
    text = find_system(system).template()
    if recipe.exists() and not force:
        raise RecipeError(
            "V2V-E9111",
            f"{recipe} exists",
            "a new file",
            "give another one with --out, or replace it with --force",
        )
    write_file(recipe, text.encode("utf-8"))
    session.out.print(f"wrote [bold]{recipe}[/]; next: edit it, then `v2v-export build {recipe}`")
    session.tell({"recipe": recipe, "system": system})
