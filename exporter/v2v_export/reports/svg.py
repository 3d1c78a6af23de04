"""Charts as inline SVG: lines, distributions and bars, with axes that people can read.

Colours are CSS classes (``s0``, ``s1``, ... for series), so that the page decides them, for light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT = 760, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 14, 38

MOST_POINTS = 1500
"""Points of one line: more are joined into ranges, which keep every peak."""


def lines(series: Mapping[str, Sequence[float]], x: str, y: str, limit: float | None = None) -> str:
    """One line per series over 0, 1, 2, ...; ``limit`` is drawn as a dashed line."""
    longest = max((len(values) for values in series.values()), default=0)
    top = max((max(values) for values in series.values() if len(values)), default=1.0)
    frame = _Frame((0, max(longest - 1, 1)), (0, 1.05 * max(top, limit or 0)))
    parts = [frame.axes(x, y)]
    for index, (name, values) in enumerate(series.items()):
        points = " ".join(f"{frame.x(i):.1f},{frame.y(v):.1f}" for i, v in _thinned(values))
        parts.append(f'<polyline class="line s{index}" points="{points}">{_title(name)}</polyline>')
    if limit is not None:
        parts.append(frame.level(limit, f"deadline {limit:g} ms"))
    return _svg(parts, f"{y} over {x}")


def distributions(series: Mapping[str, Sequence[float]], x: str) -> str:
    """The share of values at or below each value: steep where most of them lie."""
    values = [value for one in series.values() for value in one]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = 0.03 * (high - low) or 0.05 * high or 1.0
    frame = _Frame((max(0.0, low - margin), high + margin), (0, 1))
    parts = [frame.axes(x, "share of frames", percent=True)]
    for index, (name, one) in enumerate(series.items()):
        shares = np.linspace(0, 1, min(len(one), 400))
        levels = np.quantile(np.asarray(one, np.float64), shares) if len(one) else shares
        points = " ".join(
            f"{frame.x(level):.1f},{frame.y(share):.1f}"
            for level, share in zip(levels.tolist(), shares.tolist(), strict=True)
        )
        parts.append(f'<polyline class="line s{index}" points="{points}">{_title(name)}</polyline>')
    return _svg(parts, f"distribution of {x}")


def bars(groups: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """Horizontal bars: one group a row, one bar per entry of it, in the order given."""
    kinds = list(dict.fromkeys(kind for group in groups.values() for kind in group))
    row, gap = 15, 12
    heights = [row * len(group) for group in groups.values()]
    height = sum(heights) + gap * len(groups) + 30
    label = min(260, 14 + 7 * max((len(name) for name in groups), default=0))
    top = max((value for group in groups.values() for value in group.values()), default=0.0) or 1.0
    scale = (WIDTH - label - 90) / top
    parts, at = [], 6
    for name, group in groups.items():
        middle = at + row * len(group) / 2 + 4
        parts.append(
            f'<text class="name" x="{label - 8}" y="{middle:.1f}" text-anchor="end">{escape(name)}</text>'
        )
        for kind, value in group.items():
            width = max(value * scale, 0.5)
            parts.append(
                f'<rect class="bar s{kinds.index(kind)}" x="{label}" y="{at + 1}" width="{width:.1f}" '
                f'height="{row - 3}" rx="2">{_title(f"{name}, {kind}: {value:.4g} {unit}")}</rect>'
                + _text("value", label + width + 5, at + row - 4, f"{value:.3g}")
            )
            at += row
        at += gap
    parts.append(_text("axis", label, height - 8, unit))
    return _svg(parts, f"bars in {unit}", height)


def legend(names: Sequence[str]) -> str:
    """The series' names beside their colours, as HTML."""
    items = "".join(f'<li><i class="s{index}"></i>{escape(name)}</li>' for index, name in enumerate(names))
    return f'<ul class="legend">{items}</ul>'


class _Frame:
    """Maps values to places of the picture."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self._x, self._y = x, y

    def x(self, value: float) -> float:
        low, high = self._x
        return _LEFT + (value - low) / ((high - low) or 1) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self._y
        return HEIGHT - _BOTTOM - (value - low) / ((high - low) or 1) * (HEIGHT - _TOP - _BOTTOM)

    def axes(self, x: str, y: str, *, percent: bool = False) -> str:
        parts = []
        for value in ticks(*self._y):
            place = self.y(value)
            words = f"{value:.0%}" if percent else f"{value:g}"
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{place:.1f}" y2="{place:.1f}"/>'
                + _text("axis", _LEFT - 6, place + 4, words, "end")
            )
        for value in ticks(*self._x):
            parts.append(_text("axis", self.x(value), HEIGHT - _BOTTOM + 16, f"{value:g}", "middle"))
        middle = (HEIGHT - _BOTTOM + _TOP) / 2
        parts.append(_text("axis", (WIDTH + _LEFT) / 2, HEIGHT - 6, x, "middle"))
        parts.append(
            f'<text class="axis" transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">'
            f"{escape(y)}</text>"
        )
        return "".join(parts)

    def level(self, value: float, words: str) -> str:
        place = self.y(value)
        return (
            f'<line class="limit" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{place:.1f}" y2="{place:.1f}"/>'
            + _text("axis halo", WIDTH - _RIGHT, place - 5, words, "end")
        )


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from ``low`` to ``high``: 1, 2 or 5 times a power of ten apart."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [low]
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _thinned(values: Sequence[float]) -> list[tuple[int, float]]:
    """(index, value) of a line; of more than ``MOST_POINTS`` the least and the greatest of each stretch."""
    if len(values) <= MOST_POINTS:
        return list(enumerate(values))
    stretch = math.ceil(2 * len(values) / MOST_POINTS)
    kept: list[tuple[int, float]] = []
    for start in range(0, len(values), stretch):
        part = list(enumerate(values[start : start + stretch], start))
        ends = {min(part, key=lambda item: item[1]), max(part, key=lambda item: item[1])}
        kept += sorted(ends)
    return kept


def _text(kind: str, x: float, y: float, words: str, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}"'
    return f'<text class="{kind}" {place} text-anchor="{anchor}">{escape(words)}</text>'


def _title(words: str) -> str:
    return f"<title>{escape(words)}</title>"


def _svg(parts: Sequence[str], label: str, height: float = HEIGHT) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(label, quote=True)}">'
        f"{''.join(parts)}</svg>"
    )
