"""What was measured before: one line a run, and where the level changed."""

from v2v_export.history.file import Record, append, known_runs, read_history
from v2v_export.history.page import add_trend
from v2v_export.history.runs import record_of
from v2v_export.history.trend import Trend, trend

__all__ = ["Record", "Trend", "add_trend", "append", "known_runs", "read_history", "record_of", "trend"]
