"""The entry point: runs a command and turns every way that it can end into an exit status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer
from typer.exceptions import TyperException

from v2v_export.cli._group import LazyGroup
from v2v_export.cli._output import droppable_output
from v2v_export.cli._session import Debug, Session
from v2v_export.cli._signals import ended_by_signals

if TYPE_CHECKING:
    from v2v_export.errors import V2VError

GOOD, TOOL_ERROR, USAGE, VERDICT = 0, 1, 2, 3
"""Exit statuses: it worked; the tool failed; the command line was wrong; parity or latency missed."""
INTERRUPTED, TERMINATED = 130, 143


def app() -> Any:
    """The root command."""
    root = typer.Typer(
        cls=LazyGroup,
        add_completion=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    root.callback(invoke_without_command=True)(_root)
    return typer.main.get_command(root)


def _root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
    debug: Debug = False,
) -> None:
    """Turn a streaming video-to-video model from PyTorch into a bundle: verified graphs, engines for your
    GPUs, and a stream that plays without torch.

    Start with `v2v-export demo`, or with `v2v-export init SYSTEM` and `v2v-export build`.

    Exit status: 0 good; 1 an error, with its code; 2 a wrong command line; 3 a verdict against the bundle: it
    differs from PyTorch, is slower than agreed, or costs more.
    """
    if version:
        from v2v_export import __version__

        typer.echo(f"v2v-export {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status.

    Args:
        argv: the words after the program's name; None: this process's own.
    """
    session = Session()
    with ended_by_signals(TERMINATED), droppable_output():
        return _run(argv, session)


def _run(argv: Sequence[str] | None, session: Session) -> int:
    try:
        status = app().main(
            args=None if argv is None else list(argv),
            prog_name="v2v-export",
            standalone_mode=False,
            obj=session,
        )
        return int(status or GOOD)
    except BaseException as error:
        status = _tell(error, session)
        if status is None:
            raise
        return status


def _tell(error: BaseException, session: Session) -> int | None:
    """Prints what went wrong; returns the exit status, or None for what is a bug of ours."""
    # Imported here: it brings numpy, which `--help` can do without.
    from v2v_export.errors import V2VError, VerdictError

    if isinstance(error, KeyboardInterrupt | typer.Abort):
        session.log.print("stopped")
        return INTERRUPTED
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else TOOL_ERROR
    if isinstance(error, V2VError):
        if session.debug:
            session.log.print_exception()
        _show(error, session)
        return VERDICT if isinstance(error, VerdictError) else TOOL_ERROR
    if isinstance(error, TyperException):
        show = getattr(error, "show", None)
        if show is not None:
            show()  # with the usage line, on stderr
        session.tell({"error": {"code": "usage", "seen": error.format_message()}})
        return int(error.exit_code)
    if isinstance(error, OSError) and not session.debug:
        session.log.print(f"[bold red]error[/] {error}", markup=True)
        session.tell({"error": {"code": "os", "seen": str(error)}})
        return TOOL_ERROR
    return None


def _show(error: V2VError, session: Session) -> None:
    from rich.text import Text
    from v2v_runtime.errors import printable

    text = Text.assemble((error.code, "bold red"), " ", printable(error.seen))
    if error.expected:
        text.append("\n  expected  ", "dim").append(printable(error.expected))
    if error.fix:
        text.append("\n  to do     ", "dim").append(printable(error.fix))
    session.log.print(text, soft_wrap=True)
    session.tell(
        {"error": {"code": error.code, "seen": error.seen, "expected": error.expected, "fix": error.fix}}
    )
