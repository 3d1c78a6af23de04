"""v2v-export: streaming video-to-video models from PyTorch to verified bundles and engines."""

from __future__ import annotations

__version__ = "0.1.0"
