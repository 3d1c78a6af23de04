"""Errors of the STD system (codes V2V-E6230 to V2V-E6234).

=========  ==================================================================
V2V-E6230  a strength and steps that leave no step, timesteps beside them, a seed out of range
V2V-E6232  a frame of the wrong shape or dtype
V2V-E6233  prompt embeddings that the options do not ask for
V2V-E6234  a UNet that is no student: not SDXL's conditioning or latents
=========  ==================================================================
"""

from __future__ import annotations

from v2v_export.errors import ModelError


class StudentOptionError(ModelError):
    """Options or a frame that the stream cannot take (E6230, E6232)."""


class StudentWeightsError(ModelError):
    """Weights and options that do not belong together (E6233, E6234)."""
