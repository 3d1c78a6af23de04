"""``v2v-export compare``: is the head slower than the base, and do we know?"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from v2v_export.cli._progress import progress_of
from v2v_export.cli._session import Debug, Json, Session

if TYPE_CHECKING:
    from v2v_export.compare import CompareReport

PANEL = "Judge it"

_STYLES = {"PASS": "green", "IMPROVED": "green", "FAIL": "red", "NOISY": "yellow", "INCONCLUSIVE": "yellow"}


def command(
    context: typer.Context,
    base: Annotated[Path, typer.Argument(help="The bundle to hold the other one against.")],
    head: Annotated[Path, typer.Argument(help="The bundle to judge.")],
    target: Annotated[
        str | None, typer.Option("--target", "-t", help="Which target to play, such as `cpu`.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--input", "-i", help="A video to play; the bundles' own frames if none."),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=8, max=200, help="Rounds in fresh processes.")] = 16,
    cycles: Annotated[int, typer.Option("--cycles", min=1, help="Times ABBA or BAAB in a round.")] = 5,
    turn: Annotated[float, typer.Option("--turn", min=0.01, help="Seconds of one turn, at least.")] = 0.04,
    seed: Annotated[int, typer.Option("--seed", help="Of the coin that says who begins.")] = 0,
    fail: Annotated[float, typer.Option("--fail", help="Percent slower, estimated, that fails.")] = 3.0,
    least: Annotated[
        float, typer.Option("--least", help="Percent slower that the whole interval must lie above.")
    ] = 1.0,
    confidence: Annotated[float, typer.Option("--confidence", help="Of the intervals, in percent.")] = 99.0,
    deadline: Annotated[
        float | None,
        typer.Option("--deadline", min=0.001, help="Milliseconds a frame may take; compares late frames."),
    ] = None,
    base_python: Annotated[
        str | None,
        typer.Option("--base-python", help="The base's Python, such as an older commit's environment."),
    ] = None,
    head_python: Annotated[str | None, typer.Option("--head-python", help="The head's Python.")] = None,
    base_command: Annotated[
        str | None,
        typer.Option(
            "--base-command",
            help="The base's whole worker command, such as `old/run.sh {bundle}`; it speaks the protocol "
            "of `python -m v2v_runtime.bench_worker`.",
        ),
    ] = None,
    head_command: Annotated[
        str | None, typer.Option("--head-command", help="The head's whole worker command.")
    ] = None,
    most_seconds: Annotated[
        float | None,
        typer.Option("--most-seconds", min=1, help="Add no rounds beyond this; the first ones are played."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Keep the report as JSON here, round by round.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write one page with plots.")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the verdict as JUnit XML.")] = None,
    budgets: Annotated[
        Path | None, typer.Option("--budgets", help="Hold the head's exact counters to this file, too.")
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Judge what both sides show, too.")
    ] = True,
    pictures_may_differ: Annotated[
        bool,
        typer.Option(
            "--pictures-may-differ",
            help="The head is meant to show other pictures than the base: tell how far, do not judge.",
        ),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Status 3 for NOISY and INCONCLUSIVE too.")
    ] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare two bundles, or one in two environments, by latency, and give a verdict.

    Each round starts a fresh process for either side; both take turns, ABBA or BAAB as a seeded coin says.
    The figure of a round is the log ratio of the two medians; the Hodges-Lehmann estimate over rounds comes
    with an exact interval.

    Pictures are judged too: against the reference's frames that a bundle carries, against the base's own
    pictures, and by the warp error of a picture that moves by whole pixels. Worse ones FAIL whatever the
    times say. A head that is meant to show something else says so: --pictures-may-differ.

    FAIL: slower, the interval above --least and the estimate above --fail (status 3). PASS: not slower by
    more than --fail. IMPROVED: quicker, as FAIL is slower. INCONCLUSIVE: the interval is too wide, even after
    as many rounds again. NOISY: the machine is not fit to judge on, and no verdict is given.

    Two revisions are compared by their environments: --base-python and --head-python, or whole commands.
    """
    from v2v_export.compare import CompareJob, Limits, run_compare
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
            interpreter = shlex.split(python) if python else (sys.executable,)
            return lambda clip: worker_command(bundle, target, clip, interpreter)
        if python is not None:
            raise typer.BadParameter("a side's --*-command and --*-python exclude each other")
        try:
            own_command(words, bundle, None)
        except ValueError as error:
            raise typer.BadParameter(f"{words!r}: {error}") from None
        return lambda clip: own_command(words, bundle, clip)

    sides = side(base, base_python, base_command), side(head, head_python, head_command)
    _make_room(out, html, junit)
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
        clip=None if source is None else _clip(head, source),
        counters=_changes(head, budgets),
        out=out,
    )
    with progress_of(session) as progress:
        report = run_compare(job, progress)
    print_report(session, report)
    if junit is not None:
        write_junit(junit, f"compare {report.head.name}", cases(report))
    if html is not None:
        write_page(html, report)
    session.tell(report.as_dict())
    unsure = str(report.verdict) in ("NOISY", "INCONCLUSIVE")
    if not report.passed or (strict and unsure):
        raise typer.Exit(3)


def _make_room(*files: Path | None) -> None:
    """Before anything is played: the folders are there, and no earlier run's file is, to pass for this one's.

    Raises:
        BundleError: a file cannot be written there (V2V-E1051).
    """
    from v2v_runtime.atomic import new_file

    for path in files:
        if path is not None:
            with new_file(path):
                pass  # replaces what is there, so that what hinders writing is told now
            path.unlink()


def _changes(head: Path, budgets: Path | None) -> tuple[str, ...] | None:
    """What of the head's exact counters is not as the file says."""
    from v2v_runtime.bundle import Bundle

    from v2v_export.budgets import check_budgets, count_bundle, read_budgets

    if budgets is None:
        return None
    opened = Bundle.open(head, verify="sizes")
    known = read_budgets(budgets).get(opened.manifest.name, {})
    return tuple(map(str, check_budgets(known, count_bundle(opened))))


def _clip(bundle: Path, source: str) -> Any:
    import numpy as np
    from v2v_runtime.bundle import Bundle

    from v2v_export.cli.bench import frames_of

    return np.stack(frames_of(Bundle.open(bundle, verify="sizes"), source))


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
