"""The manifest: types, strict reading, validation, canonical form and identity."""

from __future__ import annotations
