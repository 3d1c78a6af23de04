"""v2v-runtime: plays a bundle as a stateful stream, without torch."""

from __future__ import annotations

__version__ = "0.1.0"
