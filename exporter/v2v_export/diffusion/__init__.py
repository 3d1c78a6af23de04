"""Parts that diffusion systems share: modules of published checkpoints, rewritten for export."""

from __future__ import annotations
