"""Options that diffusion systems share and that decide how much memory a stream needs. No torch."""

from __future__ import annotations

from typing import Any

from v2v_export.levers import lever


def small_vae(default: str | None) -> Any:
    """The option ``vae``: a TAESD holds 2.4 M numbers where the KL autoencoder holds 84 M, and its scratch is
    smaller still. None: the TAESD that goes with the UNet."""
    return lever(
        default,
        "activations",
        advice='a TAESD as vae ("taesd", "taesdxl")',
        spent=lambda vae: vae is None or "taesd" in vae,
    )


def prompt_form(default: str) -> Any:
    """The option ``prompt``: text encoders are 0.2 to 1.6 GB of half-precision weights."""
    return lever(
        default,
        "weights",
        advice='prompt = "embeddings", which leaves the text encoders out of the bundle',
        spent=lambda form: form == "embeddings",
    )
