"""Errors of the Shortcut-V2V system (codes V2V-E6001 to V2V-E6015).

=========  ==================================================================
V2V-E6001  keys missing from a set of weights
V2V-E6002  keys that no module of the architecture has
V2V-E6003  tensors of the wrong shape or kind, or holding NaN or infinity
V2V-E6004  a weights file cannot be read
V2V-E6005  the weights are not of this architecture
V2V-E6006  a weights specification cannot be understood
V2V-E6007  teacher, block and dependence level do not fit together
V2V-E6010  frame size
V2V-E6011  feature size
V2V-E6012  channel counts
V2V-E6013  dependence level
V2V-E6014  interval or schedule
V2V-E6015  a frame of the wrong shape or dtype
=========  ==================================================================
"""

from __future__ import annotations

from v2v_export.errors import ModelError


class WeightsError(ModelError):
    """Weights are missing, misshapen, unreadable, or of another architecture (E6001 to E6007)."""


class GeometryError(ModelError):
    """A size, channel count, level, schedule or frame that the model cannot take (E6010 to E6015)."""
