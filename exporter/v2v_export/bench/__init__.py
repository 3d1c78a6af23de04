"""Latency: sides measured interleaved in one run, and compared with a confidence interval or not at all."""

from __future__ import annotations
