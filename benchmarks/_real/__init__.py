"""The parts of ``benchmarks/real_size.py``, one file each, on the workshop that builds what they measure."""

from __future__ import annotations
