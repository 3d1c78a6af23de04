"""Finds systems: in this package and in any other that is installed, through entry points."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from v2v_export.errors import RecipeError
from v2v_export.system import ENTRY_POINT_GROUP, System


@dataclass(frozen=True)
class Entry:
    """One installed system, whether it works or not.

    Attributes:
        name: the entry point's name, what recipes say.
        distribution: the installed package that brings it, with its version; empty if unknown.
        module: the module that holds it.
        system: None if it could not be loaded.
        problem: why it could not; empty if it could.
    """

    name: str
    distribution: str
    module: str
    system: System | None
    problem: str = ""


def entries() -> tuple[Entry, ...]:
    """All installed systems by name; one that cannot be loaded is listed with the reason."""
    return tuple(_load(point) for _, point in sorted(_points().items()))


def systems() -> Mapping[str, System]:
    """The systems that work, by name."""
    return {entry.name: entry.system for entry in entries() if entry.system is not None}


def find_system(name: str) -> System:
    """The system of that name; no other is imported.

    Raises:
        RecipeError: no such system (V2V-E5010), or it cannot be loaded (V2V-E5011).
    """
    points = _points()
    if name not in points:
        near = difflib.get_close_matches(name, points, 3, cutoff=0.4)
        raise RecipeError(
            "V2V-E5010",
            f'no system is named "{name}"',
            f"one of {', '.join(sorted(points)) or 'none: no system is installed'}",
            f"did you mean {' or '.join(near)}?" if near else "install the package that brings it",
        )
    entry = _load(points[name])
    if entry.system is None:
        raise RecipeError(
            "V2V-E5011",
            f"system {name} of {entry.distribution or entry.module} cannot be loaded: {entry.problem}",
            "a module that imports, with a System",
            "repair or reinstall that package",
        )
    return entry.system


def code_digest(system: System) -> str:
    """sha256 over the source files of the package that holds the system.

    It stands for the system in cache keys: a change in any file of that package builds again. What the
    package imports from elsewhere counts through its version only.
    """
    return tree_digest(_package_root(type(system).__module__))


def tree_digest(root: Path) -> str:
    """sha256 over names and bytes of a file, or of all files below a folder, compiled ones left out."""
    digest = hashlib.sha256()
    files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
    for path in files:
        if "__pycache__" in path.parts or path.suffix in (".pyc", ".pyo"):
            continue
        name = path.relative_to(root).as_posix().encode()
        data = path.read_bytes()
        digest.update(len(name).to_bytes(8, "little") + name + len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def _package_root(module: str) -> Path:
    """The package folder that holds ``module``, or the file itself where it stands alone."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise RecipeError("V2V-E5011", f"module {module} has no file", "", "install it as a package")
    path = Path(spec.origin)
    return path.parent if (path.parent / "__init__.py").is_file() else path


def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def _load(point: EntryPoint) -> Entry:
    owner = f"{point.dist.name} {point.dist.version}" if point.dist is not None else ""

    def entry(system: System | None, problem: str = "") -> Entry:
        return Entry(point.name, owner, point.module, system, problem)

    try:
        found = point.load()
    except Exception as error:  # noqa: BLE001 - a stranger's module may raise anything; it stays listed
        return entry(None, f"{type(error).__name__}: {error}")
    if not isinstance(found, System):
        return entry(None, f"{point.value} is a {type(found).__name__} without the attributes of a System")
    if found.name != point.name:
        return entry(None, f'its name is "{found.name}", its entry point\'s is "{point.name}"')
    return entry(found)
