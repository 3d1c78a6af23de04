"""``v2v-export profiles``: what bundles can be built for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from v2v_export.cli._session import Debug, Json, Session

if TYPE_CHECKING:
    from v2v_export.profiles import Figure, Profile

PANEL = "Look around"


def command(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(help="Show these alone, with the source of each figure.")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """List the GPUs that a bundle can be built for, and `cpu`.

    Figures marked `~` are measured, computed or set by hand; the others are the vendor's own.
    `v2v-export profiles rtx4090` shows where each one comes from.
    """
    from v2v_export.profiles import load_profile, profile_names

    session = Session.of(context)
    found = [load_profile(name) for name in (names or profile_names())]
    if names:
        for profile in found:
            _print_sources(session, profile)
    else:
        _print_table(session, found)
    session.tell([profile.to_dict() for profile in found])


def _print_table(session: Session, found: list[Profile]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("profile", "GPU", "backend", "precision"):
        table.add_column(heading, no_wrap=heading == "profile")
    for heading in ("GiB", "GB/s", "TFLOP/s"):
        table.add_column(heading, justify="right")
    for profile in found:
        rate = profile.fp16_tflops if profile.precision == "fp16" else profile.fp32_tflops
        table.add_row(
            profile.name,
            profile.title,
            profile.backend,
            profile.precision,
            _number(profile.memory_gib),
            _number(profile.bandwidth_gbs),
            _number(rate or profile.fp32_tflops),
        )
    session.out.print(table)


def _print_sources(session: Session, profile: Profile) -> None:
    from rich.table import Table

    session.out.print(f"[bold]{profile.name}[/]  {profile.title}")
    if profile.note:
        session.out.print(f"  {profile.note}")
    table = Table(box=None, show_header=False, padding=(0, 2))
    for name in ("memory_gib", "reserve_gib", "bandwidth_gbs", "fp16_tflops", "fp32_tflops", "l2_mib"):
        figure = getattr(profile, name)
        if figure is not None:
            table.add_row(name, _number(figure), figure.source)
    table.add_row("backends", "", ", ".join(profile.backends))
    for backend, families in profile.lowering.items():
        for family, choice in families.items():
            table.add_row(f"{backend} {family}", choice.form, choice.why)
    session.out.print(table)


def _number(figure: Figure) -> str:
    return f"{'~' if figure.approximate else ''}{figure.value:g}"
