"""``v2v-export bench``: how fast, compared with what."""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from v2v_export.cli._files import make_room
from v2v_export.cli._judging import JUDGED, PLAYED, WRITTEN, Html, Junit, trust_option
from v2v_export.cli._progress import progress_of
from v2v_export.cli._session import Debug, Json, Session

if TYPE_CHECKING:
    from v2v_export.bench.machine import Machine
    from v2v_export.bench.report import BenchReport
    from v2v_export.history import Trend

PANEL = "Judge it"


def command(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder.")],
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            metavar="NAME",
            help="Target to play, such as `cpu` or `rtx4090`; the only one, or `cpu`, if not given.",
            rich_help_panel=PLAYED,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--input",
            "-i",
            metavar="VIDEO",
            help="A video to play round and round; a synthetic clip if not given.",
            rich_help_panel=PLAYED,
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="SIDE",
            help="Measure this beside the stream: teacher, eager, compile, or none; may be given several "
            "times. All three if not given, as far as the recipe is known.",
            rich_help_panel=PLAYED,
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe",
            "-r",
            metavar="FILE",
            help="The recipe that the bundle was built from, for these sides; the one beside the bundle if "
            "not given.",
            rich_help_panel=PLAYED,
        ),
    ] = None,
    trust: Annotated[list[str] | None, trust_option(PLAYED)] = None,
    blocks: Annotated[
        int,
        typer.Option(
            "--blocks",
            min=6,
            max=200,
            metavar="N",
            help="Turns of each side; more make the ratios' intervals narrower.",
            rich_help_panel=PLAYED,
        ),
    ] = 10,
    frames: Annotated[
        int,
        typer.Option(
            "--frames",
            min=1,
            metavar="N",
            help="Frames of a turn, at least. A p95 takes 100 in all turns, a p99 takes 500.",
            rich_help_panel=PLAYED,
        ),
    ] = 10,
    deadline: Annotated[
        float | None,
        typer.Option(
            "--deadline",
            min=0.001,
            metavar="MS",
            help="Milliseconds that a frame may take: exit status 3 if more than one of the stream's frames "
            "in twenty surely takes longer.",
            rich_help_panel=JUDGED,
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Exit status 3 also where the deadline could not be judged, in place of 0.",
            rich_help_panel=JUDGED,
        ),
    ] = False,
    html: Html = None,
    junit: Junit = None,
    history: Annotated[
        Path | None,
        typer.Option(
            "--history",
            metavar="FILE",
            help="Add this run to a file of JSON lines, made if it is not there, and show the trend of the "
            "runs in it that were measured like this one.",
            rich_help_panel=WRITTEN,
        ),
    ] = None,
    commit: Annotated[
        str,
        typer.Option(
            "--commit",
            metavar="NAME",
            help="What the history calls this run: the revision that was built.",
            rich_help_panel=WRITTEN,
        ),
    ] = "",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure how long a frame takes, call by call too, and how much quicker the stream is than PyTorch.

    For example: `v2v-export bench my.v2v --against none --deadline 33.3 --html bench.html`

    The stream takes turns with the model without its acceleration (teacher), with PyTorch (eager) and with
    torch.compile (compile). Ratios compare whole turns, work between frames included, with a 95 % interval;
    where that does not tell which side is quicker, it says INCONCLUSIVE. All times are in milliseconds.

    A deadline is not judged on a machine where other programs work (NOISY), nor by too few frames.
    """
    from v2v_runtime.bundle import Bundle

    from v2v_export.bench.page import write_page
    from v2v_export.bench.report import Verdict, cases
    from v2v_export.bench.run import BenchJob, run_bench
    from v2v_export.bundle_model import recipe_of
    from v2v_export.errors import RecipeError
    from v2v_export.history import add_trend, append, known_runs, record_of, trend
    from v2v_export.reports.junit import write_junit
    from v2v_export.store import Store

    session = Session.of(context)
    sides = _sides(only)
    if history is not None:
        known_runs(history)  # what hinders adding to it is told before anything is measured
    make_room(html, junit)
    opened = Bundle.open(bundle, verify="sizes")
    store = Store()
    read = None
    if len(sides) > 1:
        try:
            read = recipe_of(opened, recipe, store)
        except RecipeError as error:
            if recipe is not None:
                raise
            session.log.print(f"[yellow]only the stream is measured:[/] {error.seen}")
    job = BenchJob(
        bundle=opened.root,
        target=target,
        recipe=read,
        sides=sides,
        frames=frames_of(opened, source),
        blocks=blocks,
        block_frames=frames,
        deadline=deadline,
        store=store,
        trust=tuple(trust or ()),
    )
    with progress_of(session) as progress:
        report = run_bench(job, progress)
    print_report(session, report)
    found = None
    lost = None
    if history is not None:
        run = record_of(report, commit)
        try:
            found = trend(append(history, run), run)
            print_trend(session, found)
        except RecipeError as error:
            lost = error  # what was measured is still written where it can be
    if html is not None:
        write_page(html, report, None if found is None else partial(add_trend, trend=found))
    if junit is not None:
        write_junit(junit, f"bench {report.bundle}", cases(report, strict=strict))
    session.tell({**report.as_dict(), "trend": None if found is None else found.as_dict()})
    if lost is not None:
        raise lost
    if not report.passed or (strict and report.verdict in (Verdict.NOISY, Verdict.OPEN)):
        raise typer.Exit(3)


def _sides(only: list[str] | None) -> list[str]:
    from v2v_export.bench.report import COMPILED, EAGER, STREAM, TEACHER

    words = {"teacher": TEACHER, "eager": EAGER, "compile": COMPILED}
    if only == ["none"]:
        return [STREAM]
    for word in only or ():
        if word not in words:
            raise typer.BadParameter(f"{word!r} is none of {', '.join(words)}", param_hint="--against")
    return [STREAM, *(side for word, side in words.items() if only is None or word in only)]


def frames_of(bundle: Any, source: str | None) -> Any:
    """The frames to play, at the stream's size."""
    from v2v_runtime.video import VideoReader

    from v2v_export.bench.run import CLIP_FRAMES
    from v2v_export.clip import moving_frames

    (size,) = bundle.manifest.program.inputs.values()
    if source is None:
        return list(moving_frames(CLIP_FRAMES, size.height, size.width))
    with VideoReader(source, size=(size.height, size.width)) as reader:
        return [frame.rgb for frame in islice(reader, 4 * CLIP_FRAMES)]


def print_trend(session: Session, found: Trend) -> None:
    """What the history says of runs that were measured like this one."""
    from v2v_export.history.trend import counted, sparkline

    plot = sparkline([run.turn for run in found.runs])
    number = counted(len(found.runs), "run") if found.runs else "no quiet run"
    told = f"  history: {number} like this one"
    if found.levels:
        told += f", {counted(len(found.levels), 'level')}, now {found.levels[-1].turn:.2f} ms  {plot}"
    session.out.print(told, markup=False, soft_wrap=True)
    for words in (*found.changes, *found.apart):
        session.out.print(f"    {words}", markup=False, soft_wrap=True)


def _calls(report: BenchReport) -> Any:
    """What each call takes by itself, as a table."""
    from rich.table import Table

    from v2v_export.bench.report import CALL_HEADINGS, call_cells

    table = Table(box=None, header_style="dim", style="dim")
    table.add_column("call")
    for heading in CALL_HEADINGS:
        table.add_column(heading, justify="right")
    for name, call in report.calls.items():
        table.add_row(name, *call_cells(call))
    return table


def _machine_lines(machine: Machine) -> list[str]:
    """What was measured on, in words: what is not known is left out."""
    load = "" if machine.load is None else f", load {machine.load} before"
    told = [f"{machine.cpu}, {machine.cores_told}{load}; fingerprint {machine.fingerprint}"]
    clock = "" if machine.clock_mhz is None else f"{machine.clock_mhz} MHz"
    governor = "" if machine.governor is None else f"governor {machine.governor}"
    heat = "" if machine.temperature_c is None else f"{machine.temperature_c:g} degrees C"
    told += [", ".join(words)] if (words := [item for item in (clock, governor, heat) if item]) else []
    for index, gpu in enumerate(machine.gpus):
        name, driver, *_ = (*gpu.split(", "), "")
        clocks = machine.gpu_clocks[index : index + 1]
        told.append(", ".join((name, f"driver {driver}", *clocks)) + (" degrees C" if clocks else ""))
    return told


def print_report(session: Session, report: BenchReport) -> None:
    """The report for people."""
    from rich.table import Table

    from v2v_export.bench.report import SIDE_HEADINGS, side_cells

    height, width = report.size
    session.out.print(f"[bold]{report.bundle}[/] {report.target}, {width} x {height}")
    how = "; ".join(f"{name}: {report.conditions[name]}" for name in ("clip", "turns", "threads"))
    for line in (how, *_machine_lines(report.machine)):
        session.out.print(f"  {line}", markup=False, soft_wrap=True)
    table = Table(box=None, header_style="dim")
    table.add_column("")
    for heading in SIDE_HEADINGS:
        table.add_column(heading, justify="right")
    if report.misses is not None:
        table.add_column(f"over {report.deadline:g} ms", justify="right")
    for name, side in report.sides.items():
        cells = [*side_cells(side)]
        if report.misses is not None:
            cells.append(f"{report.misses[name]} of {side.frames}")
        table.add_row(name, *cells)
    session.out.print(table)
    for name, settled in report.settled.items():
        if not settled:
            told = f"  not settled: {name}'s times after {report.warm_frames[name]} frames of warm-up"
            session.out.print(told, markup=False, soft_wrap=True)
    for reason in report.noise:
        session.out.print(f"  noise: {reason}", markup=False, soft_wrap=True)
    if report.judged:
        session.out.print(f"  {report.judged}", markup=False, soft_wrap=True)
    for ratio in report.ratios:
        session.out.print(f"  {ratio}", markup=False, soft_wrap=True)
    for name, reason in report.left_out.items():
        session.out.print(f"  [yellow]not measured:[/] {name}: {reason}")
    if report.calls:
        session.out.print(_calls(report))
