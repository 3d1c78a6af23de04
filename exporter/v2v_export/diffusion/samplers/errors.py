"""Errors of samplers (codes V2V-E6150 to V2V-E6156).

=========  ==================================================================
V2V-E6150  a strength and a step count that leave no step
V2V-E6151  a step count, strength, gamma or eta out of range
V2V-E6152  timesteps that are no falling list of training timesteps
V2V-E6153  as many rows asked for as the steps do not give
V2V-E6154  a list of timestep indices that the step count does not have
V2V-E6155  a noise schedule or prediction type that is not known
V2V-E6156  a checkpoint that was trained with another schedule or prediction
=========  ==================================================================
"""

from __future__ import annotations

from v2v_export.errors import ModelError


class SamplerError(ModelError):
    """Sampling steps that do not exist, or values outside their range (E6150 to E6156)."""
