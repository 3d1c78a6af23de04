"""What every command shares: its two common options, where it prints, and how a result is told."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 160
"""Columns of a table in a file or a pipe."""


@dataclass
class Session:
    """One run of the command line.

    Attributes:
        json: the result goes to stdout as one JSON document; everything else to stderr.
        debug: errors show their traceback.
        told: a JSON document has been printed.
    """

    json: bool = False
    debug: bool = False
    told: bool = field(default=False, init=False)

    @staticmethod
    def of(context: typer.Context) -> Session:
        """The session of the running command."""
        session = context.find_root().obj
        assert isinstance(session, Session)
        return session

    @cached_property
    def out(self) -> Console:
        """Where people read results: stdout, or stderr when stdout carries JSON."""
        return _console(stderr=self.json)

    @cached_property
    def log(self) -> Console:
        """Where progress and remarks go: stderr."""
        return _console(stderr=True)

    def tell(self, result: Any) -> None:
        """Prints the machine-readable result if it was asked for; a command does this once, at its end."""
        if self.json and not self.told:
            json.dump(result, sys.stdout, indent=2, ensure_ascii=False, default=_plain, allow_nan=False)
            sys.stdout.write("\n")
            sys.stdout.flush()
            self.told = True


def _console(stderr: bool) -> Console:
    """A console whose lines are wrapped on a terminal alone.

    A file or a pipe has no width: it gets lines as they are, and tables of ``WIDE`` columns, or of as many as
    ``COLUMNS`` in the environment says.
    """
    import os

    from rich.console import Console

    if (sys.stderr if stderr else sys.stdout).isatty():
        return Console(stderr=stderr, highlight=False)
    width = None if "COLUMNS" in os.environ else WIDE
    return Console(stderr=stderr, highlight=False, soft_wrap=True, width=width)


def _plain(value: Any) -> Any:
    """JSON for what reports hold besides JSON's own types."""
    import dataclasses
    from fractions import Fraction
    from pathlib import PurePath

    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    if hasattr(value, "items"):
        return dict(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _set_json(context: typer.Context, value: bool) -> bool:
    Session.of(context).json |= value
    return value


def _set_debug(context: typer.Context, value: bool) -> bool:
    Session.of(context).debug |= value
    return value


Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print the result as JSON on stdout; everything else on stderr.", callback=_set_json
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", callback=_set_debug)]
