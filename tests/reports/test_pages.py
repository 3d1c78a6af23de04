"""Pages: what they hold, that a browser shows it, and that nothing comes from elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support.pages import look, report
from v2v_export.bench.page import write_page
from v2v_export.history import Record, add_trend, trend
from v2v_export.reports import svg
from v2v_runtime.video import VideoReader

RUN = Record(
    "2026-01-02T00:00:00+00:00", "m", "b", "t.onnxruntime", "0" * 64, {}, 22.0, 22.0, 30.0, 24.0, 100
)


def test_a_browser_shows_the_page_in_light_in_dark_and_on_a_telephone(tmp_path: Path) -> None:
    path = tmp_path / "bench.html"
    runs = [replace(RUN, turn=22.0 if day < 14 else 25.0) for day in range(25)]
    runs[5] = replace(RUN, turn=40.0, noise=("other processes use 1.20 cores (limit 0.25)",))
    write_page(path, report(), partial(add_trend, trend=trend(runs, runs[-1])))
    text = path.read_text()
    assert text.count('class="dot hollow"') == 1
    assert "NOISY and no part of the trend: 1 earlier run" in text
    assert "<dt>clip</dt><dd>24 frames, sha256 0123456789abcdef</dd>" in text
    assert "<dt>turns</dt><dd>6 of 100 frames</dd>" in text
    assert "<td>first/full</td><td>1</td>" in text
    assert "<td>41.00</td><td>too few</td></tr>" in text, "one run differs from no other"
    seen = look(path, tmp_path)
    for view, page in seen.items():
        assert page["title"] == "a <b> & c", view
        assert page["headings"] == [
            "a <b> & c",
            "Latency, frame by frame",
            "Distribution",
            "Where the time goes",
            "Against the roofline",
            "History on this machine",
            "Measured on",
        ]
        assert len(page["charts"]) == 5
        assert all(chart["width"] > 600 and chart["height"] > 80 for chart in page["charts"])
        assert page["rows"] == 2 + 3 + 3
        assert page["outside"] == [], "something is drawn outside of its chart"
        assert page["overlaps"] == [], "words are written over words"
        assert page["smallest"] >= 9, "letters of fewer pixels are no letters"
        assert not page["scrolls"], f"the page is wider than the window: {view}"
        assert page["problems"] == []
        assert page["requests"] == [path.as_uri()], "the page is not self-contained"
    assert seen["light"]["paper"] != seen["dark"]["paper"]
    assert seen["light"]["ink"] != seen["dark"]["ink"]
    with VideoReader(str(tmp_path / "light.png")) as light, VideoReader(str(tmp_path / "dark.png")) as dark:
        day, night = (np.asarray(next(iter(reader)).rgb, np.float64) for reader in (light, dark))
    assert day.mean() > 200
    assert night.mean() < 80
    # Both series are drawn in colour over grey paper: some pixels of the charts are far from grey.
    assert (np.ptp(day, axis=2) > 100).mean() > 0.005


def test_a_page_without_deadline_history_and_roofline(tmp_path: Path) -> None:
    path = tmp_path / "bench.html"
    write_page(path, replace(report(None), roofline={}, calls={}))
    seen = look(path, tmp_path)
    assert seen["light"]["headings"][1:] == ["Latency, frame by frame", "Distribution", "Measured on"]
    assert "deadline" not in path.read_text()


def test_text_from_outside_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "bench.html"
    write_page(path, replace(report(), left_out={"<script>alert(1)</script>": '"><img src=x>'}))
    text = path.read_text()
    assert "<script" not in text
    assert "<img" not in text
    assert not re.search(r"https?://|@import|url\(", text)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 60, [0, 10, 20, 30, 40, 50, 60]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (3.1, 9.9, [4, 6, 8]),
        (0, 0.0007, [0, 0.0002, 0.0004, 0.0006]),
        (5, 5, [5]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert svg.ticks(low, high) == pytest.approx(expected)


def test_long_lines_are_thinned_and_keep_their_peaks() -> None:
    values = [1.0] * 10_000
    values[4321] = 9.0
    chart = svg.lines({"a": values}, "frame", "ms")
    (points,) = re.findall(r'points="([^"]*)"', chart)
    places = [tuple(map(float, point.split(","))) for point in points.split()]
    assert len(places) <= svg.MOST_POINTS + 2
    peak = min(places, key=lambda place: place[1])
    share = (peak[0] - places[0][0]) / (places[-1][0] - places[0][0])
    assert share == pytest.approx(0.4321, abs=0.001)


def test_an_empty_series_is_an_empty_chart() -> None:
    assert "<svg" in svg.lines({"a": []}, "frame", "ms")
    assert "<svg" in svg.distributions({"a": []}, "ms")
    assert "<svg" in svg.bars({}, "ms")


def test_dots_stand_where_their_values_are() -> None:
    """Values 0, 10 and 20 are as far apart as they say; so are the band's edges, 0 and 10, from its line."""
    chart = svg.dots(
        [0.0, 10.0, 20.0], "round", "%", hollow={1}, band=(0.0, 5.0, 10.0), limit=(3.0, "fails above")
    )
    found = re.findall(r'<circle class="dot (\S+)" cx="([\d.]+)" cy="([\d.]+)"', chart)
    assert [kind for kind, _, _ in found] == ["s0", "hollow", "s0"]
    x, y = ([float(item[axis]) for item in found] for axis in (1, 2))
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)
    assert y[0] - y[1] == pytest.approx(y[1] - y[2], abs=0.2)
    assert y[0] > y[1], "more is higher"
    ((top, height),) = re.findall(r'class="band" .*? y="([\d.]+)" height="([\d.]+)"', chart)
    assert (float(top), float(top) + float(height)) == pytest.approx((y[1], y[0]), abs=0.2)
    (middle,) = re.findall(r'class="middle" .*? y1="([\d.]+)"', chart)
    assert float(middle) == pytest.approx((y[0] + y[1]) / 2, abs=0.2)
    assert "fails above +3" in chart
    assert "<svg" in svg.dots([], "round", "%")


def test_one_wild_value_does_not_press_a_distribution_into_a_corner() -> None:
    values = np.linspace(4.0, 5.0, 999).tolist()
    chart = svg.distributions({"a": [*values, 1000.0]}, "ms")
    (points,) = re.findall(r'points="([^"]*)"', chart)
    places = [tuple(map(float, point.split(","))) for point in points.split()]
    assert places[-1][0] - places[0][0] > 0.9 * (svg.WIDTH - 80), "from 4 to 5 takes all of the width"
    assert "the slowest 0.5% lie further right" in chart
    few = svg.distributions({"a": [*values[:100], 1000.0]}, "ms", limit=4.05)
    assert "further right" not in few
    assert "deadline 4.05 ms" in few
    assert "deadline" not in svg.distributions({"a": values}, "ms", limit=9.0), "it lies outside of the chart"


def test_levels_lie_among_their_runs() -> None:
    """Two runs of 100 and two of 102, with one that does not count between them: a step of 2 % is seen."""
    chart = svg.levels(
        [100.0, 100.0, 110.0, 102.0, 102.0], [(0, 1, 100.0), (3, 4, 102.0)], "run", "ms", hollow={2}
    )
    found = re.findall(r'<circle class="dot (\S+)" cx="([\d.]+)" cy="([\d.]+)"', chart)
    assert [kind for kind, _, _ in found] == ["s0", "s0", "hollow", "s0", "s0"]
    x, y = ([float(item[axis]) for item in found] for axis in (1, 2))
    assert y[1] - y[3] > 0.1 * svg.HEIGHT
    assert y[2] == pytest.approx(14), "it lies far away, and does not press the others together"
    lines = [
        [tuple(map(float, point.split(","))) for point in points.split()]
        for points in re.findall(r'points="([^"]*)"', chart)
    ]
    half = (x[1] - x[0]) / 2
    for ends, (first, last) in zip(lines, ((0, 1), (3, 4)), strict=True):
        places = pytest.approx((x[first] - half, x[last] + half), abs=0.2)
        assert tuple(place for place, _ in ends) == places
        assert {height for _, height in ends} == {y[first]}
    numbers = re.findall(r'text-anchor="middle">([\d.]+)<', chart)
    assert numbers == ["1", "2", "3", "4", "5"], "there is no run between two"
    assert "<svg" in svg.levels([], [], "run", "ms")
