"""What the recipe alone says wrong: checked before any weights are looked at, and without torch."""

from __future__ import annotations

from v2v_export.system import FrameSize
from v2v_export.systems.live2diff.errors import WeightsError
from v2v_export.systems.live2diff.options import Live2DiffOptions, check
from v2v_export.weights import Weights


def check_recipe(weights: Weights, options: Live2DiffOptions, size: FrameSize) -> None:
    """Raise for options, a frame size or weights that do not belong together.

    Raises:
        GeometryError, SamplerError: see ``options.check``.
        WeightsError: V2V-E6277, weights that the options leave without use.
    """
    check(options, size)
    if "prompt" in weights and options.prompt == "tokens":
        raise WeightsError(
            "V2V-E6277",
            'weights "prompt", a file of embeddings, with prompt = "tokens"',
            "embeddings from the bundle's text encoder",
            'remove it, or set prompt = "embeddings"',
        )
