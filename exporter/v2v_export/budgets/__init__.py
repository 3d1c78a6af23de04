"""The exact gate: counters that do not jitter, held to a committed file."""

from v2v_export.budgets.counted import Player, count_bundle, own_player
from v2v_export.budgets.file import read_budgets, write_budgets
from v2v_export.budgets.gate import Change, cases, check_budgets, left_alone

__all__ = [
    "Change",
    "Player",
    "cases",
    "check_budgets",
    "count_bundle",
    "left_alone",
    "own_player",
    "read_budgets",
    "write_budgets",
]
