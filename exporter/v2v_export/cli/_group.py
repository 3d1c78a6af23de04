"""The group of commands: found by file, imported when needed, listed even when an import fails."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

PANELS = ("Make a bundle", "Play it", "Judge it", "Look around")
"""The headings of ``--help``, in order; a command file names one of them in ``PANEL``."""

_ORDER = (
    "init",
    "build",
    "demo",
    "run",
    "prompt",
    "pack",
    "unpack",
    "verify",
    "bench",
    "compare",
    "budgets",
    "inspect",
    "explain",
    "systems",
    "profiles",
    "cache",
    "doctor",
)
_PACKAGE = "v2v_export.cli"


def command_names() -> list[str]:
    """The names of all commands, from the files of this folder, sorted."""
    package = importlib.import_module(_PACKAGE)
    files = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in files if not name.startswith("_"))


def load_command(name: str) -> TyperCommand:
    """The command of that name; one that says why it does not work when its file cannot be imported."""
    try:
        module = importlib.import_module(f"{_PACKAGE}.{name}")
    except ImportError as error:
        return _typer_command(name, _unavailable(name, error), PANELS[-1])
    return _typer_command(name, module.command, module.PANEL)


class LazyGroup(TyperGroup):
    """Imports a command when its help or its run needs it."""

    def list_commands(self, ctx: Any) -> list[str]:
        commands = {name: load_command(name) for name in command_names()}
        order = {panel: index for index, panel in enumerate(PANELS)}
        return sorted(commands, key=lambda name: (order[commands[name].rich_help_panel or ""], _place(name)))

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        return load_command(cmd_name) if cmd_name in command_names() else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        names = command_names()
        if args and args[0] not in names and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], names, 1)
            hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(names)}"
            ctx.fail(f"No such command {args[0]!r}: {hint}")
        return super().resolve_command(ctx, args)


def _place(name: str) -> tuple[int, str]:
    """Inside a panel, the order of work; a command that ``_ORDER`` leaves out comes after, by name."""
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)


def _typer_command(name: str, function: Callable[..., Any], panel: str) -> TyperCommand:
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    app.command(name, rich_help_panel=panel, help=_paragraphs(function))(function)
    command = typer.main.get_command(app)
    assert isinstance(command, TyperCommand)
    return command


def _paragraphs(function: Callable[..., Any]) -> str:
    """The docstring with each paragraph on one line, for the terminal to wrap."""
    blocks = (inspect.getdoc(function) or "").split("\n\n")
    return "\n\n".join(" ".join(block.split()) for block in blocks)


def _unavailable(name: str, error: ImportError) -> Callable[[], None]:
    def command() -> None:
        from v2v_export.errors import V2VError

        raise V2VError(
            "V2V-E9101",
            f"`v2v-export {name}` cannot run here: {error}",
            "a complete installation",
            "`v2v-export doctor` shows what is missing",
        )

    command.__doc__ = f"Not available here: {error}"
    return command
