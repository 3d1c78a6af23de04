"""What a recipe's options, frame size and UNet must be for a stream to make sense."""

from __future__ import annotations

from dataclasses import replace

from v2v_export.diffusion.configs import Architecture
from v2v_export.diffusion.geometry import check_frame_size, check_steps, halved
from v2v_export.diffusion.network_slots import AUTOENCODERS
from v2v_export.diffusion.samplers import NoiseSchedule
from v2v_export.diffusion.trained import check_prediction, trained_prediction
from v2v_export.system import FrameSize
from v2v_export.systems.stream_diffusion.errors import StreamOptionError, StreamWeightsError
from v2v_export.systems.stream_diffusion.options import StreamDiffusionOptions
from v2v_export.systems.stream_diffusion.tables import sampler_table
from v2v_export.weights import Weights


def check_options(options: StreamDiffusionOptions) -> None:
    """Raises for options that contradict each other.

    Raises:
        StreamOptionError: V2V-E6210, E6211 or E6212.
        StreamWeightsError: V2V-E6215, an autoencoder of other latents than the architecture's.
        GeometryError: V2V-E6122, too many steps.
        SamplerError: V2V-E6154, indices that do not rise from 0 to 49; V2V-E6151, a gamma outside [0, 1].
    """
    _check_autoencoder(options)
    _check_sampler(options)
    sampler_table(options)
    check_steps(options.rows, "t_index_list", "give it 1 to 4 entries, as distilled models need")
    if not -(1 << 63) <= options.seed < 1 << 63:
        raise StreamOptionError(
            "V2V-E6210", f"seed {options.seed}", "a whole number of 64 bits", "take 2, the published default"
        )
    if options.cfg == "none" and options.guidance > 1.0:
        raise StreamOptionError(
            "V2V-E6211",
            f'guidance {options.guidance:g} with cfg "none", which has no unconditional prediction',
            "guidance of 1, or another cfg",
            'set cfg to "self" (costs nothing), "initialize" (one row more) or "full" (twice the rows)',
        )
    if options.prompt_rows == 1 and options.negative_text:
        raise StreamOptionError(
            "V2V-E6211",
            f'a negative_text with cfg "{options.cfg}", which has no unconditional row',
            'a negative prompt with cfg "initialize" or "full" alone',
            "remove negative_text, or change cfg",
        )


def _check_autoencoder(options: StreamDiffusionOptions) -> None:
    small, full = AUTOENCODERS[options.architecture]
    if options.autoencoder not in (small, full):
        raise StreamWeightsError(
            "V2V-E6215",
            f'vae "{options.autoencoder}" with architecture "{options.architecture}"',
            f'"{small}" or "{full}": other latents of the same shape give wrong colours, or noise',
            f'set vae = "{small}", or remove it, which is the same',
        )


def _check_sampler(options: StreamDiffusionOptions) -> None:
    if options.gamma is not None and options.sampler != "tcd":
        raise StreamOptionError(
            "V2V-E6212",
            f'gamma {options.gamma:g} with sampler "{options.sampler}"',
            'gamma with sampler "tcd" alone',
            'remove gamma, or set sampler = "tcd"',
        )
    if not options.add_noise and options.sampler != "lcm":
        fix = "set gamma = 0, which adds none" if options.sampler == "tcd" else "remove add_noise"
        raise StreamOptionError(
            "V2V-E6212",
            f'add_noise = false with sampler "{options.sampler}"',
            'add_noise = false with sampler "lcm" alone: others say themselves how much noise is added',
            fix,
        )


def check_weights(weights: Weights, options: StreamDiffusionOptions) -> None:
    """Raises V2V-E6214 for weights that the options leave without use."""
    if "prompt" in weights and options.prompt == "tokens":
        raise StreamWeightsError(
            "V2V-E6214",
            'weights "prompt", a file of embeddings, with prompt = "tokens"',
            "embeddings from the bundle's text encoders",
            'remove it, or set prompt = "embeddings"',
        )


def with_prediction(weights: Weights, options: StreamDiffusionOptions) -> StreamDiffusionOptions:
    """The options with the prediction that the weights were trained for, where they say it.

    Raises:
        SamplerError: V2V-E6155 or V2V-E6156, as ``trained_prediction``; E6156 also for a prediction that the
            options contradict, or that is neither noise nor v.
    """
    trained = trained_prediction(weights, NoiseSchedule())
    if trained is None:
        return options
    if trained == "sample":
        check_prediction(weights, trained, "epsilon", "take a checkpoint that predicts noise or v")
    elif options.prediction is None:
        return replace(options, prediction=trained)
    else:
        check_prediction(weights, trained, options.prediction, "remove the option prediction")
    return options


def check_unet(unet: Architecture, options: StreamDiffusionOptions) -> None:
    """Raises V2V-E6215 for a UNet whose latents are not the autoencoders'."""
    channels = unet.config.get("in_channels", 4), unet.config.get("out_channels", 4)
    if channels != (4, 4):
        raise StreamWeightsError(
            "V2V-E6215",
            f"a UNet with {channels[0]} input and {channels[1]} output channels",
            "4 and 4: an image model, no inpainting or depth variant",
            "take the base model's UNet",
        )


def check_size(size: FrameSize, unet: Architecture) -> None:
    """Raises V2V-E6121 for a frame whose sides the UNet cannot halve evenly: multiples of 64 for SD1.5, SD2.1
    and SD-Turbo, of 32 for SDXL."""
    check_frame_size(size, halved(len(unet.config["block_out_channels"]), unet.name))
