"""``v2v-export compare``: is the head slower than the base, and do we know?"""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from v2v_export.cli._files import make_room
from v2v_export.cli._judging import JUDGED, LONG, PLAYED, WRITTEN, Html, Junit, trust_option
from v2v_export.cli._progress import progress_of
from v2v_export.cli._session import Debug, Json, Session

if TYPE_CHECKING:
    from v2v_runtime.bundle import Bundle

    from v2v_export.budgets import Player
    from v2v_export.compare import CompareReport

PANEL = "Judge it"

_PACKAGES = "heavy_packages"

_STYLES = {"PASS": "green", "IMPROVED": "green", "FAIL": "red", "NOISY": "yellow", "INCONCLUSIVE": "yellow"}


def command(
    context: typer.Context,
    base: Annotated[
        Path, typer.Argument(metavar="BASE", help="The folder of the bundle to hold the other one against.")
    ],
    head: Annotated[Path, typer.Argument(metavar="HEAD", help="The folder of the bundle to judge.")],
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            metavar="NAME",
            help="Target that both play, such as `cpu` or `rtx4090`; the only one, or `cpu`, if not given.",
            rich_help_panel=PLAYED,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--input",
            "-i",
            metavar="VIDEO",
            help="A video that both play; the base's self-test frames if not given.",
            rich_help_panel=PLAYED,
        ),
    ] = None,
    base_python: Annotated[
        str | None,
        typer.Option(
            "--base-python",
            metavar="COMMAND",
            help="The base's Python, such as `../old-env/bin/python`; this command's own if not given.",
            rich_help_panel=PLAYED,
        ),
    ] = None,
    head_python: Annotated[
        str | None,
        typer.Option(
            "--head-python", metavar="COMMAND", help="The same for the head.", rich_help_panel=PLAYED
        ),
    ] = None,
    base_command: Annotated[
        str | None,
        typer.Option(
            "--base-command",
            metavar="COMMAND",
            help="Starts the base's player, in place of a Python: `../old/worker.sh {bundle}`. It has to "
            "speak the protocol of `python -m v2v_runtime.bench_worker`, and is given its `--clip FILE`.",
            rich_help_panel=PLAYED,
        ),
    ] = None,
    head_command: Annotated[
        str | None,
        typer.Option(
            "--head-command", metavar="COMMAND", help="The same for the head.", rich_help_panel=PLAYED
        ),
    ] = None,
    trust: Annotated[list[str] | None, trust_option(PLAYED)] = None,
    rounds: Annotated[
        int,
        typer.Option(
            "--rounds",
            min=12,
            max=200,
            metavar="N",
            help="Rounds, of two fresh processes each. Those that other processes disturbed are played again "
            "once; where the verdict is INCONCLUSIVE, N more are added once.",
            rich_help_panel=LONG,
        ),
    ] = 16,
    most_seconds: Annotated[
        float | None,
        typer.Option(
            "--most-seconds",
            min=1,
            metavar="SECONDS",
            help="Play no round that would end later, first or added. Played in any case are 12, and those "
            "that make up for disturbed ones among them while these are not most. Pictures and budgets take "
            "their own time.",
            rich_help_panel=LONG,
        ),
    ] = None,
    cycles: Annotated[
        int,
        typer.Option(
            "--cycles",
            min=1,
            metavar="N",
            help="Cycles of a round; in each, both sides have two turns: base, head, head, base, or the "
            "reverse.",
            rich_help_panel=LONG,
        ),
    ] = 5,
    turn: Annotated[
        float,
        typer.Option(
            "--turn",
            min=0.01,
            metavar="SECONDS",
            help="Length of a turn; raised to whole periods of the program.",
            rich_help_panel=LONG,
        ),
    ] = 0.04,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", metavar="N", help="Of the coin that says which side begins.", rich_help_panel=LONG
        ),
    ] = 0,
    fail: Annotated[
        float,
        typer.Option(
            "--fail",
            metavar="PERCENT",
            help="FAIL where the head, by a figure's estimate, is slower by more than this,",
            rich_help_panel=JUDGED,
        ),
    ] = 3.0,
    least: Annotated[
        float,
        typer.Option(
            "--least",
            metavar="PERCENT",
            help="and surely by more than this: the interval's lower end is above it.",
            rich_help_panel=JUDGED,
        ),
    ] = 1.0,
    confidence: Annotated[
        float,
        typer.Option(
            "--confidence",
            metavar="PERCENT",
            help="Of that interval; more than 99.95 takes more than 12 rounds.",
            rich_help_panel=JUDGED,
        ),
    ] = 99.0,
    deadline: Annotated[
        float | None,
        typer.Option(
            "--deadline",
            min=0.001,
            metavar="MS",
            help="Milliseconds that a frame may take: FAIL also where over one point more of the head's "
            "frames are late.",
            rich_help_panel=JUDGED,
        ),
    ] = None,
    budgets: Annotated[
        Path | None,
        typer.Option(
            "--budgets",
            metavar="FILE",
            help="FAIL also where the head's exact counters are not as in this file of `v2v-export budgets`.",
            rich_help_panel=JUDGED,
        ),
    ] = None,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures/--no-pictures",
            help="FAIL also where the head's pictures are worse.",
            rich_help_panel=JUDGED,
        ),
    ] = True,
    pictures_may_differ: Annotated[
        bool,
        typer.Option(
            "--pictures-may-differ",
            help="The head is meant to show other pictures than the base: tell how far, do not judge.",
            rich_help_panel=JUDGED,
        ),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Exit status 3 for NOISY and INCONCLUSIVE too, in place of 0.",
            rich_help_panel=JUDGED,
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Keep the report here as JSON, written after every round: an interrupted run keeps its "
            "rounds.",
            rich_help_panel=WRITTEN,
        ),
    ] = None,
    html: Html = None,
    junit: Junit = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Say whether the bundle HEAD is slower than the bundle BASE, or worse, and whether that is sure.

    For example: `v2v-export compare main.v2v mine.v2v --deadline 33.3 --html compare.html`

    A round starts a fresh process for each side and lets both take turns. Its figures are the ratios of the
    sides' times: of median frames, of whole turns (work after a picture is in them), of 95th percentiles, and
    of all frames together. Over the rounds stands an estimate (Hodges-Lehmann) with an interval. Pictures are
    held to the PyTorch reference's, to the base's, and to the flicker of a moving picture.

    FAIL (exit status 3): slower by more than --fail, and surely by more than --least, by any of these
    figures; with --deadline, more late frames; or worse pictures or, with --budgets, other counters, whatever
    the times say. PASS: frames and whole turns are not slower by more than --fail, and that is sure.
    IMPROVED: frames quicker by as much, and no other figure surely up. INCONCLUSIVE: an interval is too wide
    to say, even after as many rounds again. NOISY: other programs, clocks that were held down, or times of
    both sides that do not hold still make this machine unfit to judge on.

    To compare two revisions of the code, give each side the Python of an environment of its own
    (--base-python, --head-python); examples/ci/compare-revisions.sh does all of it.
    """
    from v2v_export.budgets import own_player
    from v2v_export.compare import CompareJob, Limits
    from v2v_export.compare.bundles import compare_bundles, trusting
    from v2v_export.compare.page import cases, write_page
    from v2v_export.compare.rounds import Pace
    from v2v_export.compare.side import own_command, worker_command
    from v2v_export.reports.junit import write_junit

    session = Session.of(context)
    try:
        limits = Limits(fail=fail / 100, least=least / 100, confidence=confidence / 100)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None

    def side(bundle: Path, python: str | None, words: str | None) -> Any:
        if words is None:
            own = _python(python)
            return lambda clip: worker_command(bundle, target, clip, own)
        if python is not None:
            raise typer.BadParameter("a side's --*-command and --*-python exclude each other")
        try:
            own_command(words, bundle, None)
        except ValueError as error:
            raise typer.BadParameter(f"{words!r}: {error}") from None
        return lambda clip: own_command(words, bundle, clip)

    sides = side(base, base_python, base_command), side(head, head_python, head_command)
    player = own_player(head, _python(head_python)) if head_command is None else lambda _: sides[1](None)
    make_room(out, html, junit)
    job = CompareJob(
        base=sides[0],
        head=sides[1],
        bundles=(base, head) if pictures else None,
        pictures_may_differ=pictures_may_differ,
        rounds=rounds,
        most_seconds=most_seconds,
        seed=seed,
        pace=Pace(cycles=cycles, turn_seconds=turn),
        limits=limits,
        deadline=deadline,
        counters=None if budgets is None else _changes(head, budgets, player),
        out=out,
    )
    frames = None if source is None else partial(_frames, source)
    with progress_of(session) as progress, trusting((base, head), target, trust or ()):
        report = compare_bundles(base, head, job, progress, frames)
    print_report(session, report)
    if junit is not None:
        write_junit(junit, f"compare {report.head.name}", cases(report, strict=strict))
    if html is not None:
        write_page(html, report)
    session.tell(report.as_dict())
    unsure = str(report.verdict) in ("NOISY", "INCONCLUSIVE")
    if not report.passed or (strict and unsure):
        raise typer.Exit(3)


def _python(command: str | None) -> tuple[str, ...]:
    """The words that start a side's Python; of None, this command's own."""
    if command is None:
        return (sys.executable,)
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise typer.BadParameter(f"{command!r}: {error}") from None
    if not words:
        raise typer.BadParameter(f"{command!r}: no command")
    return words


def _changes(head: Path, file: Path, player: Player | None = None) -> tuple[str, ...]:
    """What of the head's exact counters is not as the file says; playing is counted where the file counts it.

    Packages are counted where the player tells them, as a command of the user's need not.
    """
    from v2v_runtime.bundle import Bundle

    from v2v_export.budgets import check_budgets, count_bundle, left_alone, read_budgets

    opened = Bundle.open(head, verify="sizes")
    known = dict(read_budgets(file).get(opened.manifest.name, {}))
    counted = count_bundle(opened, play="played" in known, player=player)
    if _PACKAGES not in counted.get("played", {_PACKAGES: 0}):
        known["played"] = {name: number for name, number in known["played"].items() if name != _PACKAGES}
    return tuple(map(str, check_budgets(known, counted, left_alone(known, counted))))


def _frames(source: str, bundle: Bundle) -> Any:
    """The video's frames at the bundle's size, as one array."""
    import numpy as np

    from v2v_export.cli.bench import frames_of

    return np.stack(frames_of(bundle, source))


def print_report(session: Session, report: CompareReport) -> None:
    """The report for people."""
    from rich.table import Table

    from v2v_export.compare.report import HEADINGS, table

    rows = Table(box=None, header_style="dim")
    for heading in HEADINGS:
        rows.add_column(heading, justify="right")
    for row in table(report):
        rows.add_row(*row)
    session.out.print(rows)
    first, *rest = report.lines()
    verdict, _, text = first.partition(":")
    session.out.print(f"[bold {_STYLES[verdict]}]{verdict}[/]:{text}", soft_wrap=True)
    for line in rest:
        session.out.print(line, markup=False, soft_wrap=True)
