"""Errors of the StreamDiffusion system (codes V2V-E6210 to V2V-E6229).

=========  ==================================================================
V2V-E6210  a seed
V2V-E6211  guidance or a negative prompt that the cfg type has no use for
V2V-E6212  gamma or add_noise with a sampler that has no use for it
V2V-E6213  a frame of the wrong shape or dtype
V2V-E6214  weights that the options leave without use
V2V-E6215  a UNet of other latents than the autoencoder's
=========  ==================================================================
"""

from __future__ import annotations

from v2v_export.errors import ModelError


class StreamOptionError(ModelError):
    """Options or a frame that the stream cannot take (E6210 to E6213)."""


class StreamWeightsError(ModelError):
    """Weights and options that do not belong together (E6214, E6215)."""
