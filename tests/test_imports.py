"""Imports run one way: between the packages of ``v2v_export`` as between the distributions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import v2v_export

ROOT = Path(v2v_export.__file__).parent


def imports(path: Path) -> Iterator[str]:
    """The modules of ``v2v_export`` that a file imports anywhere, in functions and for types too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("v2v_export."))
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            if node.module == "v2v_export":
                yield from (f"v2v_export.{name.name}" for name in node.names)
            elif node.module.startswith("v2v_export."):
                yield node.module


def packages(root: Path) -> dict[str, set[str]]:
    """Each folder or module below ``root`` -> the others of them that it imports."""
    found: dict[str, set[str]] = {}
    for path in root.rglob("*.py"):
        name = path.relative_to(root).parts[0].removesuffix(".py")
        others = {module.split(".")[1] for module in imports(path)} - {name}
        found.setdefault(name, set()).update(others)
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Names that lead back to the first one, or none."""
    done: set[str] = set()

    def walk(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name not in done:
            for other in sorted(graph.get(name, ())):
                if found := walk(other, [*trail, name]):
                    return found
            done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := walk(name, []))), [])


def test_no_circle_between_packages() -> None:
    graph = packages(ROOT)
    assert {"build", "verify", "clip"} <= set(graph)
    assert "verify" in graph["build"]
    assert circle(graph) == []


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"b"}}) == ["b", "d", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
