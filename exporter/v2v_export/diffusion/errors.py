"""Errors of the parts that diffusion systems share (codes V2V-E6100 to V2V-E6149).

=========  ==================================================================
V2V-E6100  a weights value cannot be understood, or names what is not there
V2V-E6101  a weights file cannot be read
V2V-E6102  tensors missing from a set of weights
V2V-E6103  tensors that no module of the architecture has
V2V-E6104  tensors of the wrong shape or kind
V2V-E6105  tensors that hold NaN or infinity
V2V-E6106  the weights are of another architecture
V2V-E6107  an architecture that is not supported
V2V-E6108  a weight leaves half precision's range
V2V-E6110  a LoRA fits no layer
V2V-E6111  a LoRA fits only part of its layers
V2V-E6112  a LoRA's tensors do not belong together
V2V-E6120  cross-attention tensors that do not fit the batch or the network
V2V-E6121  a frame or latent size that the network cannot take
V2V-E6122  more denoising steps for one frame than any distilled model needs
=========  ==================================================================
"""

from __future__ import annotations

from v2v_export.errors import ModelError


class WeightsError(ModelError):
    """Weights are missing, misshapen, unreadable, or of another architecture (E6100 to E6108)."""


class LoraError(ModelError):
    """A LoRA does not fit the modules that it is fused into (E6110 to E6112)."""


class GeometryError(ModelError):
    """Sizes, rows or steps that a network or a stream cannot take (E6120 to E6122)."""
