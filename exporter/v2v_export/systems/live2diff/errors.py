"""Errors of the Live2Diff system around its UNet (codes V2V-E6250 to V2V-E6279).

=========  ==================================================================
V2V-E6250  a table of positions that is not the published one
V2V-E6271  another number of steps than rows
V2V-E6272  a depth detector of another architecture
V2V-E6273  weights: keys of the Live2Diff checkpoint that are missing, unknown or misshapen
V2V-E6275  options that exclude each other, or out of range
V2V-E6276  a frame of the wrong shape or dtype
V2V-E6277  weights that the options leave without use
=========  ==================================================================
"""

from __future__ import annotations

from v2v_export.errors import ModelError


class GeometryError(ModelError):
    """Rows, an option or a frame that the stream cannot take (E6271, E6275, E6276)."""


class WeightsError(ModelError):
    """Weights that do not belong to this system (E6250, E6272, E6273, E6277)."""
