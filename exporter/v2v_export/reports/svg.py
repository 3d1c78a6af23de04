"""Charts as inline SVG: lines, distributions, dots and bars, with axes that people can read.

Colours are CSS classes (``s0``, ``s1``, ... for series), so that the page decides them, for light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT = 760, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 14, 38

MOST_POINTS = 1500
"""Points of one line: more are joined into ranges, which keep every peak."""

_MANY, _SHOWN = 400, 0.995
"""Of so many values, a distribution shows this share."""


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


def distributions(series: Mapping[str, Sequence[float]], x: str, limit: float | None = None) -> str:
    """The share of values at or below each value: steep where most of them lie.

    Of many values the slowest half percent is left out: one wild frame would press all others into a corner.
    """
    values = [value for one in series.values() for value in one]
    many = len(values) >= _MANY
    low, high = (min(values), float(np.quantile(values, _SHOWN if many else 1))) if values else (0.0, 1.0)
    margin = 0.03 * (high - low) or 0.05 * high or 1.0
    frame = _Frame((max(0.0, low - margin), high + margin), (0, 1))
    name = f"{x} (the slowest {1 - _SHOWN:.1%} lie further right)" if many else x
    parts = [frame.axes(name, "share of frames", percent=True)]
    for index, (side, one) in enumerate(series.items()):
        shares = np.linspace(0, 1, min(len(one), 400))
        levels = np.quantile(np.asarray(one, np.float64), shares) if len(one) else shares
        points = " ".join(
            f"{frame.x(level):.1f},{frame.y(share):.1f}"
            for level, share in zip(levels.tolist(), shares.tolist(), strict=True)
            if level <= high
        )
        parts.append(f'<polyline class="line s{index}" points="{points}">{_title(side)}</polyline>')
    if limit is not None and low - margin <= limit <= high + margin:
        parts.append(frame.upright(limit, f"deadline {limit:g} ms"))
    return _svg(parts, f"distribution of {x}")


def dots(
    values: Sequence[float],
    x: str,
    y: str,
    *,
    hollow: Collection[int] = (),
    band: tuple[float, float, float] | None = None,
    limit: tuple[float, str] | None = None,
) -> str:
    """A dot a value over 1, 2, 3, ..., above and below a line at zero.

    Args:
        hollow: indices of values that do not count.
        band: low, middle and high of what is known of the values' centre.
        limit: a value and its name, drawn as a dashed line.
    """
    reach = [0.0, *values, *(band or ()), *([] if limit is None else [limit[0]])]
    margin = 0.08 * (max(reach) - min(reach)) or 1.0
    frame = _Frame((0.5, max(len(values), 1) + 0.5), (min(reach) - margin, max(reach) + margin))
    parts = [frame.axes(x, y, signed=True, whole=True)]
    if band is not None:
        parts.append(frame.band(*band))
    parts.append(frame.across(0.0, "zero"))
    if limit is not None:
        parts.append(frame.level(limit[0], f"{limit[1]} {limit[0]:+g}"))
    for index, value in enumerate(values):
        kind = "dot hollow" if index in hollow else "dot s0"
        parts.append(frame.dot(kind, index + 1, value, 4.5, f"{x} {index + 1}: {value:+.2f}"))
    return _svg(parts, f"{y} over {x}")


def levels(
    values: Sequence[float],
    steps: Sequence[tuple[int, int, float]],
    x: str,
    y: str,
    *,
    hollow: Collection[int] = (),
) -> str:
    """A dot a value over 1, 2, 3, ..., and a line for each level that they keep.

    Args:
        steps: first and last index of each level, and its height.
        hollow: indices of values that do not count: they do not stretch the chart, but lie at its edge.
    """
    counting = [value for index, value in enumerate(values) if index not in hollow]
    reach = counting or list(values) or [0.0, 1.0]
    margin = 0.1 * (max(reach) - min(reach)) or 0.05 * max(reach) or 1.0
    frame = _Frame((0.5, max(len(values), 1) + 0.5), (max(0.0, min(reach) - margin), max(reach) + margin))
    parts = [frame.axes(x, y, whole=True)]
    radius = 4 if len(values) <= 60 else 2.5
    for index, value in enumerate(values):
        kind = "dot hollow" if index in hollow else "dot s0"
        place = min(max(value, frame.low), frame.high)
        parts.append(frame.dot(kind, index + 1, place, radius, f"{x} {index + 1}: {value:.4g}"))
    for first, last, height in steps:
        ends = ((first + 0.5, height), (last + 1.5, height))
        points = " ".join(f"{frame.x(at):.1f},{frame.y(value):.1f}" for at, value in ends)
        parts.append(f'<polyline class="line s1" points="{points}">{_title(f"{height:.4g}")}</polyline>')
    return _svg(parts, f"{y} over {x}")


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
        self.low, self.high = y

    def x(self, value: float) -> float:
        low, high = self._x
        return _LEFT + (value - low) / ((high - low) or 1) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self._y
        return HEIGHT - _BOTTOM - (value - low) / ((high - low) or 1) * (HEIGHT - _TOP - _BOTTOM)

    def axes(
        self, x: str, y: str, *, percent: bool = False, signed: bool = False, whole: bool = False
    ) -> str:
        """Both axes with their names.

        Args:
            percent, signed: how numbers of the upright one are written.
            whole: the other one counts things, and has no numbers between them.
        """
        parts = []
        for value in ticks(*self._y):
            words = f"{value:.0%}" if percent else f"{value:+g}" if signed and value else f"{value:g}"
            parts.append(
                self.across(value, "grid") + _text("axis", _LEFT - 6, self.y(value) + 4, words, "end")
            )
        for value in ticks(*self._x):
            if whole and value % 1:
                continue
            parts.append(_text("axis", self.x(value), HEIGHT - _BOTTOM + 16, f"{value:g}", "middle"))
        middle = (HEIGHT - _BOTTOM + _TOP) / 2
        parts.append(_text("axis", (WIDTH + _LEFT) / 2, HEIGHT - 6, x, "middle"))
        parts.append(
            f'<text class="axis" transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">'
            f"{escape(y)}</text>"
        )
        return "".join(parts)

    def dot(self, kind: str, x: float, y: float, radius: float, words: str) -> str:
        """A dot that says its value where a pointer rests on it."""
        place = f'cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="{radius:g}"'
        return f'<circle class="{kind}" {place}>{_title(words)}</circle>'

    def across(self, value: float, kind: str) -> str:
        """A level line."""
        place = f'y1="{self.y(value):.1f}" y2="{self.y(value):.1f}"'
        return f'<line class="{kind}" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" {place}/>'

    def level(self, value: float, words: str) -> str:
        """A limit that is a level line, with its name."""
        name = _text("axis halo", WIDTH - _RIGHT, self.y(value) - 5, words, "end")
        return self.across(value, "limit") + name

    def upright(self, value: float, words: str) -> str:
        """A limit that is an upright line, with its name."""
        place = f'x1="{self.x(value):.1f}" x2="{self.x(value):.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"'
        right = self.x(value) < (WIDTH + _LEFT) / 2
        side = self.x(value) + (5 if right else -5)
        name = _text("axis halo", side, _TOP + 12, words, "start" if right else "end")
        return f'<line class="limit" {place}/>{name}'

    def band(self, low: float, middle: float, high: float) -> str:
        """A stretch of values from edge to edge, with a line in it."""
        place = f'x="{_LEFT}" width="{WIDTH - _RIGHT - _LEFT}" y="{self.y(high):.1f}"'
        height = max(self.y(low) - self.y(high), 1)
        return f'<rect class="band" {place} height="{height:.1f}"/>' + self.across(middle, "middle")


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
