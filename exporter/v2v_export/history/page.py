"""A trend as a part of a page."""

from __future__ import annotations

from v2v_export.history.trend import Trend
from v2v_export.reports import svg
from v2v_export.reports.page import Page


def add_trend(page: Page, trend: Trend) -> None:
    """Draws the runs and the levels that they keep; nothing of a run that is alone."""
    if len(trend.every) < 2:
        return
    page.heading("History on this machine")
    page.text(
        "A dot for each run that was measured like this one, the median over its turns, and the levels "
        "they keep: a step is no noise. Hollow: NOISY, no part of the trend; at the edge where they lie "
        "further away.",
        soft=True,
    )
    places = [index for index, run in enumerate(trend.every) if not run.noise]
    chart = svg.levels(
        [run.turn for run in trend.every],
        [(places[level.first], places[level.last], level.turn) for level in trend.levels],
        "run",
        "ms a frame",
        hollow={index for index, run in enumerate(trend.every) if run.noise},
    )
    page.figure(chart, svg.legend(["a run", "level"]))
    for words in trend.changes:
        page.text(words)
    for words in trend.apart:
        page.text(words, soft=True)
