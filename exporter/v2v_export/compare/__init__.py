"""Compares two bundles, or two environments, by latency: rounds in fresh processes, and a verdict."""

from v2v_export.compare.job import CompareJob, run_compare
from v2v_export.compare.report import CompareReport
from v2v_export.compare.verdict import Limits, Verdict

__all__ = ["CompareJob", "CompareReport", "Limits", "Verdict", "run_compare"]
