"""``v2v-export prompt``: a prompt's embeddings as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from v2v_export.cli._session import Debug, Json, Session

PANEL = "Play it"


def command(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="A bundle with a text encoder, or a recipe that names one.")],
    text: Annotated[str, typer.Argument(help="What to show.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write: safetensors, float32.")],
    negative: Annotated[
        str | None, typer.Option("--negative", metavar="TEXT", help="What not to show.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a prompt that is too long instead of cutting it.")
    ] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a prompt's embeddings to a file.

    For example: `v2v-export prompt my.v2v "a watercolour" --output watercolour.safetensors`

    Bundles built with `prompt = "embeddings"` take them in place of text: play one with
    `--set prompt_embeds=FILE` (SDXL's with `--set pooled_embeds=FILE` too), or give the file to its recipe as
    the first prompt.
    """
    import warnings

    from v2v_runtime.blobs import write_safetensors
    from v2v_runtime.bundle import Bundle
    from v2v_runtime.prompt import CutPrompt

    from v2v_export.diffusion.embed import embed_with_bundle, embed_with_recipe
    from v2v_export.recipe import load_recipe

    session = Session.of(context)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CutPrompt)
        if source.suffix == ".toml":
            made = embed_with_recipe(load_recipe(source), text, negative, strict=strict)
        else:
            made = embed_with_bundle(Bundle.open(source), text, negative, strict=strict)
    notes = [str(item.message) for item in caught if issubclass(item.category, CutPrompt)]
    for note in dict.fromkeys(notes):
        session.log.print(note, markup=False)
    write_safetensors(output, made)
    shapes = {name: list(value.shape) for name, value in made.items()}
    for name, shape in shapes.items():
        session.out.print(f"{name} {shape}", markup=False)
    session.out.print(f"wrote [bold]{output}[/]")
    options = " ".join(f"--set {name}={output}" for name in made)
    told = f'for bundles built with prompt = "embeddings": {options}'
    session.out.print(told, markup=False)
    session.tell({"output": output, "tensors": shapes, "notes": list(dict.fromkeys(notes))})
