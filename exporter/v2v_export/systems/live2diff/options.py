"""The recipe's ``[options]`` of Live2Diff, and the steps that they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from v2v_export.diffusion.geometry import check_frame_size, halved
from v2v_export.diffusion.option_levers import prompt_form, small_vae
from v2v_export.diffusion.samplers import NoiseSchedule, Table, Timesteps, lcm
from v2v_export.levers import lever
from v2v_export.system import FrameSize
from v2v_export.systems.live2diff.errors import GeometryError
from v2v_export.systems.live2diff.steps import row_timesteps

WARMUP_FRAMES = 8
"""Frames of a warm-up, and sink slots of every cache."""

RING_SLOTS = 8
"""Rolling slots of every cache: the latest frames that a frame attends, itself among them."""

UNET_LEVELS = 4
"""Of Stable Diffusion 1.5's UNet, and of the tiny one."""

SCHEDULE = NoiseSchedule("linear")
"""AnimateDiff's betas, 0.00085 to 0.012 in even steps: not Stable Diffusion's ``scaled_linear``."""


@dataclass(frozen=True)
class Live2DiffOptions:
    """What one stream of this system can choose.

    Attributes:
        architecture: the UNet of the base weights, and the text encoder and depth detector that go with it;
            ``tiny_sd15`` has the same blocks, narrow, for trials.
        vae: the autoencoder's architecture; the published stream uses TAESD.
        rows: T, denoising steps in flight. It has to agree with what the steps below give, because the state
            grows by 1450 MiB per row at 512 x 512 in half precision.
        steps: n, the length of the LCM schedule that ``t_index_list`` or ``strength`` chooses from.
        t_index_list: indices into the n timesteps, rising. None: (30, 40), unless ``strength`` is given.
        strength: in (0, 1]: the last ``int(n * strength)`` timesteps, as the published code counts them: 0.5
            of 50 steps is 25 rows. None: ``t_index_list`` decides.
        add_noise: noise a latent anew between its steps; off, the noise term is dropped.
        seed: of the noise tables.
        noise_frames: frames after which the noise repeats.
        resident: ``always``: the step's engines stay loaded beside the warm-up's, so that a warm-up in
            mid-stream loads its own alone. ``phase``: each phase has its own engines alone on the device,
            one UNet less in the warm-up, and loads them whenever it is entered.
        prompt: what the param is: ``tokens`` (the text encoder is in the bundle) or ``embeddings``.
        text: the prompt at the start.
        clip_skip: layers of the text encoder to leave out at its end; 1 is the published default.
        official_startup: the published rule for the first frames, which lets rows from the third on attend
            slots that no frame has reached yet; for comparing with the published code.
        cache: ``delta``: a step reads the rings and gives their new entries, which the machine writes.
            ``in_place``: the step's graph takes and gives whole rings in the same memory, by ONNX's
            TensorScatter of opset 24, for backends that have it; the equations are the same.
        similarity: skip frames that are like the last one that was processed (the published filter). Off by
            default: which frames are skipped is drawn at random.
        similarity_threshold: the cosine from which on skipping begins.
        max_skip: skips in a row that are followed by a processed frame at the latest, plus one as published.
    """

    architecture: Literal["sd15", "tiny_sd15"] = "sd15"
    vae: Literal["taesd", "kl_sd", "tiny_taesd", "tiny_kl"] = small_vae("taesd")
    rows: int = lever(
        2,
        "state",
        "activations",
        advice="a lower rows, with as many steps: t_index_list, or steps and strength",
        spent=lambda rows: rows == 1,
    )
    steps: int = 50
    t_index_list: tuple[int, ...] | None = None
    strength: float | None = None
    add_noise: bool = True
    seed: int = 2
    noise_frames: int = 64
    resident: Literal["always", "phase"] = lever(
        "always",
        "weights",
        "activations",
        advice='resident = "phase": engines of the step after those of the warm-up, not beside them, one '
        "UNet less in the warm-up",
        spent=lambda resident: resident == "phase",
    )
    prompt: Literal["tokens", "embeddings"] = prompt_form("tokens")
    text: str = ""
    clip_skip: int = 1
    official_startup: bool = False
    cache: Literal["delta", "in_place"] = "delta"
    similarity: bool = False
    similarity_threshold: float = 0.98
    max_skip: int = 10

    def timesteps(self) -> Timesteps:
        """The timestep of each row, row 0 the noisiest.

        Raises:
            GeometryError: V2V-E6271: another number of steps than rows; V2V-E6275: both ways of choosing at
                once, or values out of range.
            SamplerError: V2V-E6150: no step is left; V2V-E6154: indices that there are not.
        """
        return row_timesteps(self.rows, self.steps, self.t_index_list, self.strength)

    def table(self) -> Table:
        """The LCM sampler of the chosen steps on the linear schedule."""
        return lcm(self.timesteps(), SCHEDULE)


def check(options: Live2DiffOptions, size: FrameSize) -> None:
    """Raise for a frame size or options that make no stream.

    Raises:
        GeometryError: V2V-E6121, the frame's size; V2V-E6271, steps and rows; V2V-E6275, options out of range
            or exclusive.
        SamplerError: see ``Live2DiffOptions.timesteps``.
    """
    check_frame_size(size, halved(UNET_LEVELS, options.architecture))
    options.timesteps()
    ranges = (
        ("seed", options.seed, 0, (1 << 63) - 1),
        ("noise_frames", options.noise_frames, WARMUP_FRAMES, 4096),
    )
    for name, value, least, most in ranges:
        if not least <= value <= most:
            raise GeometryError(
                "V2V-E6275", f"{name} = {value}", f"{least} to {most}", "correct the recipe's options"
            )
