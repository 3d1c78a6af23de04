"""A student's weights: an SDXL base, the STD LoRA fused into it, an autoencoder, text encoders."""

from __future__ import annotations

from v2v_export.diffusion.networks import Networks, open_networks
from v2v_export.diffusion.samplers import NoiseSchedule
from v2v_export.diffusion.trained import check_prediction, trained_prediction
from v2v_export.systems.std.errors import StudentWeightsError
from v2v_export.systems.std.options import StdOptions
from v2v_export.weights import Weights


def open_student(weights: Weights, options: StdOptions) -> Networks:
    """The networks of a recipe, checked by their headers.

    Raises:
        StudentWeightsError: V2V-E6233: embeddings are given that the option ``prompt`` does not ask for;
            V2V-E6234: the UNet takes no latent of 4 channels.
        SamplerError: V2V-E6155 or V2V-E6156: the base was trained with another schedule or prediction.
        WeightsError, PromptError, RecipeError: see ``open_networks``.
    """
    if "prompt" in weights and options.prompt != "embeddings":
        raise StudentWeightsError(
            "V2V-E6233",
            f'prompt embeddings under [weights] with the option prompt = "{options.prompt}"',
            'prompt = "embeddings", or no file of them',
            "leave one of the two out",
        )
    trained = trained_prediction(weights, NoiseSchedule())
    check_prediction(weights, trained, "epsilon", "take an SDXL base that predicts noise, as students do")
    networks = open_networks(weights, unet=options.architecture, vae=options.vae, prompt=options.prompt)
    config = networks.unet.architecture.config
    if config.get("addition_embed_type") != "text_time" or config.get("in_channels", 4) != 4:
        raise StudentWeightsError(
            "V2V-E6234",
            f"a UNet with {config.get('in_channels', 4)} input channels and "
            f"{config.get('addition_embed_type') or 'no'} conditioning",
            "SDXL's: 4 channels, text_time",
            "take an SDXL base that is no inpainting or refiner model",
        )
    return networks
