"""``v2v-export verify``: does the bundle still compute what PyTorch does?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from v2v_export.cli._judging import trust_option
from v2v_export.cli._progress import progress_of
from v2v_export.cli._session import Debug, Json, Session

if TYPE_CHECKING:
    from v2v_export.verify.report import Report

PANEL = "Judge it"


def command(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            metavar="NAME",
            help="A target to verify, such as `cpu`; may be given several times. All if not given.",
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe",
            "-r",
            metavar="FILE",
            help="The recipe that it was built from, for its weights; the one beside the bundle if "
            "not given.",
        ),
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Play at least 32 frames, however long it takes: with the reference's state before each "
            "step (which step is wrong?), and from the bundle's own (does it drift?).",
        ),
    ] = False,
    trust: Annotated[list[str] | None, trust_option()] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare a bundle with PyTorch: each graph with its module, each step and the stream with the reference.

    The first graph, step and tensor that leaves its tolerance is named, and so is what was not looked at.
    A target that this machine cannot play is called "not run here", even where its graphs pass elsewhere: it
    lacks the GPU, say, or the engines were built on another machine, and `--trust` does not say to load them.
    Exit status 3: it differs.
    """
    import time
    from tempfile import TemporaryDirectory

    from v2v_runtime.bundle import Bundle

    from v2v_export.bundle_model import recipe_of, variant_options
    from v2v_export.store import Store
    from v2v_export.verify.parity import ParityJob, verify_target

    session = Session.of(context)
    opened = Bundle.open(bundle)
    read = recipe_of(opened, recipe, Store())
    names = [_full_name(opened, name) for name in target] if target else list(opened.targets())
    reports: list[Report] = []
    with progress_of(session) as progress, TemporaryDirectory(prefix="v2v-verify-") as scratch:
        for name in names:
            progress.start(f"verify {name}")
            begin = time.perf_counter()
            job = ParityJob(
                bundle=opened.root,
                target=name,
                model=lambda: read.system.load(read.weights, read.options, read.size),
                options=variant_options(opened, opened.target(name).variant),
                verify=read.verify,
                full=full,
                progress=progress.step,
                scratch=Path(scratch),
                trust=tuple(trust or ()),
            )
            reports.append(verify_target(job))
            progress.finish("done" if reports[-1].passed else "failed", time.perf_counter() - begin)
    for report in reports:
        _print(session, report)
    verdicts = [report.verdict for report in reports]
    verdict = next((word for word in ("differs", "not run here") if word in verdicts), "passed")
    targets = {report.target: report.as_dict() for report in reports}
    session.tell({"verdict": verdict, "passed": verdict == "passed", "targets": targets})
    if verdict == "differs":
        raise typer.Exit(3)


def _full_name(bundle: Any, name: str) -> str:
    target = bundle.target(name)
    return f"{target.profile}.{target.backend}"


def _print(session: Session, report: Report) -> None:
    style = {"passed": "green", "not run here": "yellow", "differs": "bold red"}[report.verdict]
    session.out.print(f"[bold]{report.target}[/] [{style}]{report.verdict}[/]")
    for line in report.lines():
        session.out.print(f"  {line}", markup=False)
    if report.miss is not None:
        session.out.print(f"  {report.miss.error(report.target)}", markup=False, style="red")
