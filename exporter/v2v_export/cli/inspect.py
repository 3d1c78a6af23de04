"""``v2v-export inspect``: what is in a bundle."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from v2v_export.cli._session import Debug, Json, Session
from v2v_export.cli._status import status_words, trust_hash
from v2v_export.families import families

if TYPE_CHECKING:
    from v2v_runtime.bundle import Bundle
    from v2v_runtime.manifest.model import Binding, Call, Param

PANEL = "Look around"

_FEW = 4
"""Numbers of a param that are shown."""


def command(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    fast: Annotated[
        bool, typer.Option("--fast", help="Check the sizes of files alone, not their hashes.")
    ] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what a bundle holds: its stream program, graphs, variants, targets and where it comes from.

    Every file is hashed on the way, unless `--fast` says not to.
    """
    from v2v_runtime.bundle import Bundle
    from v2v_runtime.manifest.encode import to_json

    session = Session.of(context)
    opened = Bundle.open(bundle, verify="sizes" if fast else "full")
    targets = dict(opened.targets())
    _print_head(session, opened)
    _print_program(session, opened)
    _print_targets(session, opened)
    session.tell(
        {
            "manifest": to_json(opened.manifest),
            "targets": {name: to_json(target) for name, target in targets.items()},
            "trust": {name: trust_hash(opened, target) for name, target in targets.items() if target.engines},
        }
    )


def _print_head(session: Session, bundle: Bundle) -> None:
    manifest = bundle.manifest
    size = sum(entry.size for entry in manifest.files)
    session.out.print(
        f"[bold]{manifest.name}[/]  system {manifest.system}, identity {manifest.identity[:16]}"
    )
    session.out.print(f"  {len(manifest.files)} files, {_bytes(size)}, at {bundle.root}")
    for way, ports in (("in", manifest.program.inputs), ("out", manifest.program.outputs)):
        for name, frame in ports.items():
            session.out.print(f"  {way:3} {name}: {frame.width} x {frame.height} {frame.format}")
    recipe = manifest.provenance.get("recipe", {})
    if recipe:
        options = ", ".join(f"{name} = {value}" for name, value in recipe.get("options", {}).items())
        session.out.print(f"  options: {options}", markup=False)
    tools = manifest.provenance.get("tools", {})
    session.out.print("  made with " + ", ".join(f"{name} {version}" for name, version in tools.items()))


def _print_program(session: Session, bundle: Bundle) -> None:
    from rich.table import Table

    program = bundle.manifest.program
    table = Table(box=None, title="program", title_justify="left", title_style="bold", header_style="dim")
    for heading in ("phase", "call", "reads", "writes", "when"):
        table.add_column(heading, overflow="fold")
    for phase in program.phases:
        steps = "for ever" if phase.steps == "forever" else _counted(phase.steps, "step")
        label = f"{phase.name} ({steps}{f', {phase.gather} frames each' if phase.gather > 1 else ''})"
        for call in phase.calls:
            reads = ", ".join(families(map(_name, call.inputs.values())))
            written = [_name(binding) for binding in call.outputs.values() if binding is not None]
            writes = ", ".join(families(written))
            name = call.name if call.name == call.graph else f"{call.name}: {call.graph}"
            table.add_row(label, name, reads, writes, _when(call))
            label = ""
    session.out.print(table)
    alike: dict[str, list[str]] = {}
    for name, slot in program.slots.items():
        ring = f", ring of {slot.ring.length}" if slot.ring else ""
        alike.setdefault(f"{slot.dtype} {list(slot.shape)}{ring}", []).append(name)
    for kind, names in alike.items():
        session.out.print(f"  slot {', '.join(families(names))}: {kind}", markup=False)
    for name, param in program.params.items():
        within = f", {param.limits.low} to {param.limits.high}" if param.limits else ""
        told = f"{param.dtype} {list(param.shape)}{within}{_default(bundle, param)}"
        session.out.print(f"  param {name}: {told}", markup=False)


def _print_targets(session: Session, bundle: Bundle) -> None:
    manifest = bundle.manifest
    for name, variant in manifest.variants.items():
        known = {entry.path: entry.size for entry in manifest.files}
        size = sum(known[path] for path in variant.graphs.values()) + known.get(f"graphs/{name}.weights", 0)
        session.out.print(
            f"[bold]variant {name}[/]  {variant.float}, {len(variant.graphs)} graphs, {_bytes(size)}"
        )
    targets = bundle.targets()
    if not targets:
        session.out.print("no target: build one with `v2v-export build --gpu`")
    for name, target in targets.items():
        words = f"[{'green' if target.status == 'verified' else 'yellow'}]{status_words(target)}[/]"
        size = sum(entry.size for entry in target.files)
        engines = (
            f"{len(target.engines)} engines, {_bytes(size)}" if target.engines else "runs its ONNX files"
        )
        session.out.print(f"[bold]target {name}[/]  {words}, variant {target.variant}, {engines}")
        if target.engines:
            hashed = trust_hash(bundle, target)
            session.out.print(f"  where they were not built: --trust {hashed}", markup=False, soft_wrap=True)
        for text in target.verification.get("not_verified", ()):
            session.out.print(f"  not verified: {text}", markup=False)


def _default(bundle: Bundle, param: Param) -> str:
    """The value at the start, where it is few numbers."""
    if math.prod(param.shape) > _FEW:
        return ""
    return f", default {', '.join(f'{value:g}' for value in bundle.blob(param.default).reshape(-1).tolist())}"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _name(binding: Binding) -> str:
    if isinstance(binding, str):
        return binding
    return f"{binding.name}[{binding.start}:{binding.start + binding.length}]"


def _when(call: Call) -> str:
    from v2v_runtime.manifest.model import Changed, Every

    words = []
    if isinstance(call.when, Every):
        words.append(f"step % {call.when.every} in {list(call.when.at)}")
    if isinstance(call.when, Changed):
        words.append(f"{', '.join(call.when.changed)} changed")
    if call.rows is not None:
        words.append(f"rows by {call.rows.count}")
    if call.late:
        words.append("late")
    return "; ".join(words) or "always"


def _bytes(size: int) -> str:
    if size < 1000:
        return f"{size} B"
    power = min(3, int(math.log10(size) // 3))
    return f"{size / 1000**power:.1f} {['B', 'kB', 'MB', 'GB'][power]}"
