"""The demo: a small teacher with a strong look, its shortcut block, and moving pictures to show them on.

:mod:`~v2v_export.demo.look` is the look that the teacher imitates, :mod:`~v2v_export.demo.scenes` draws the
video (both need the extra ``demo``), and the trained weights lie beside this file, under the published
checkpoints' key names. ``examples/demo/train.py`` in the repository makes them.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["BLOCK_WEIGHTS", "HEIGHT", "INTERVAL", "LEVEL", "TEACHER_WEIGHTS", "WIDTH"]

_WEIGHTS = Path(__file__).parent / "weights"

TEACHER_WEIGHTS = _WEIGHTS / "teacher.safetensors"
"""ResNet-6 generator, ngf 16, float16 on disk."""
BLOCK_WEIGHTS = _WEIGHTS / "shortcut.safetensors"
"""Shortcut block at the level below, 64 feature channels, h 32, float16 on disk."""
LEVEL = "high"
INTERVAL = 3
HEIGHT, WIDTH = 256, 384
"""Size of the frames that the demo shows and that the weights were trained for, pixels."""
