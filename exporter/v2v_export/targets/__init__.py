"""Builders: one file per backend, found by its name. See ``base`` for the contract."""

from __future__ import annotations
