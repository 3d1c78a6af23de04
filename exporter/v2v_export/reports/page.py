"""One self-contained HTML page: no script, no font, no picture from elsewhere; light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from v2v_runtime.atomic import write_file


def _style() -> str:
    return files("v2v_export.reports").joinpath("page.css").read_text("utf-8")


class Page:
    """Collects the parts of a page in order. Text is escaped; charts come as SVG from ``svg``."""

    def __init__(self, title: str, under: str = "", verdict: tuple[str, str] | None = None) -> None:
        """Begins with the heading.

        Args:
            under: a line below the title.
            verdict: its word, and ``good``, ``bad`` or ``odd``.
        """
        self._title = title
        self._parts = [f"<h1>{escape(title)}</h1>"]
        if under:
            self._parts.append(f'<p class="soft">{escape(under)}</p>')
        if verdict is not None:
            word, kind = verdict
            self._parts.append(
                f'<p><span class="verdict {escape(kind, quote=True)}">{escape(word)}</span></p>'
            )

    def heading(self, words: str) -> None:
        self._parts.append(f"<h2>{escape(words)}</h2>")

    def text(self, words: str, *, soft: bool = False) -> None:
        self._parts.append(f'<p class="soft">{escape(words)}</p>' if soft else f"<p>{escape(words)}</p>")

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        head = "".join(f"<th>{escape(words)}</th>" for words in headings)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        rows = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        self._parts.append(f'<div class="wide">{rows}</div>')

    def figure(self, chart: str, legend: str = "") -> None:
        """A chart and its legend, as markup."""
        self._parts.append(f"<figure>{legend}{chart}</figure>")

    def facts(self, facts: Sequence[tuple[str, str]]) -> None:
        items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
        self._parts.append(f"<dl>{items}</dl>")

    def render(self) -> str:
        """The page."""
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self._title)}</title><style>{_style()}</style></head>\n"
            f"<body>{chr(10).join(self._parts)}</body></html>\n"
        )

    def write(self, path: Path) -> None:
        """Writes it, whole or not at all.

        Raises:
            BundleError: it cannot be written (V2V-E1051).
        """
        write_file(path, self.render().encode())
