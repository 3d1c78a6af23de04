"""The ends of a diffusion stream: pictures to latents and back, by TAESD or by the KL autoencoder.

Half precision: SDXL's KL autoencoder leaves float16's range between its layers (its configuration says
``force_upcast``). Every branch starts with a group norm, whose result does not change with its input's scale,
so the stream between the layers may hold a small share of the true values, exactly in real arithmetic: branch
ends and biases take the share, the norms' eps its square. See ``layers.group_norm``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from v2v_export.diffusion import layers
from v2v_export.diffusion.configs import Architecture, build
from v2v_export.diffusion.errors import GeometryError, WeightsError
from v2v_export.diffusion.pictures import to_levels, to_picture
from v2v_export.diffusion.precision import in_precision

SHARE = 1.0 / 64
"""Of the stream in a float16 autoencoder that asks for more room: values up to four million fit."""


class Encoder(nn.Module):
    """uint8 [G, H, W, 3] -> latents [G, 4, H / 8, W / 8] in the module's type, scaled for the UNet.

    Args:
        vae: diffusers' ``AutoencoderTiny``, or ``AutoencoderKL``: then the mean of its distribution, no
            sample, so the same frame gives the same latent.
        dtype: of weights and latents.

    Raises:
        WeightsError: V2V-E6107, another autoencoder.
    """

    def __init__(self, vae: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        _check(vae)
        source: Any = vae
        self.inner: Any = in_precision(source.encoder, dtype).eval()
        self.quant: Any = None
        if _is_kl(vae) and source.quant_conv is not None:
            self.quant = in_precision(source.quant_conv, dtype).eval()
        self.is_kl, self.dtype = _is_kl(vae), dtype
        self.factor = float(source.config.scaling_factor)
        self.offset = float(getattr(source.config, "shift_factor", None) or 0.0)
        self.share = _share(vae, dtype)

    def forward(self, frames: Tensor) -> Tensor:
        """See the class.

        Raises:
            GeometryError: V2V-E6121, height or width no multiple of 8.
        """
        height, width = frames.shape[1:3]
        if height % 8 or width % 8:
            raise GeometryError(
                "V2V-E6121", f"frame of {height} x {width}", "multiples of 8", "resize the frames"
            )
        latent = self.encode(to_picture(frames, self.dtype))
        if self.offset:
            latent = latent - self.offset
        scaled: Tensor = latent * self.factor
        return scaled

    def encode(self, picture: Tensor) -> Tensor:
        """[G, 3, H, W] in [-1, 1] -> latents before the scaling."""
        if not self.is_kl:
            made: Tensor = self.inner(picture)
            return made
        net, share = self.inner, self.share
        x = layers.shared_layer(net.conv_in, picture, share)
        for block in net.down_blocks:
            for resnet in block.resnets:
                x = layers.resnet(resnet, x, None, share=share)
            if block.downsamplers is not None:
                x = layers.downsample(block.downsamplers[0], x, share=share)
        x = _middle(net.mid_block, x, share)
        moments = net.conv_out(layers.group_norm(net.conv_norm_out, x, silu=True, share=share))
        if self.quant is not None:
            moments = self.quant(moments)
        mean: Tensor = moments.chunk(2, dim=1)[0]
        return mean


class Decoder(nn.Module):
    """Latents [G, 4, h, w], as the UNet has them -> (uint8 [G, 8h, 8w, 3], float32 [G, 3, 8h, 8w]).

    The float picture, in [-1, 1], is what the levels are rounded from: a tap for parity.
    """

    def __init__(self, vae: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        _check(vae)
        source: Any = vae
        self.inner: Any = in_precision(source.decoder, dtype).eval()
        self.post_quant: Any = None
        if _is_kl(vae) and source.post_quant_conv is not None:
            self.post_quant = in_precision(source.post_quant_conv, dtype).eval()
        self.is_kl, self.dtype = _is_kl(vae), dtype
        self.factor = float(source.config.scaling_factor)
        self.offset = float(getattr(source.config, "shift_factor", None) or 0.0)
        self.share = _share(vae, dtype)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        return to_levels(self.picture(latent))

    def picture(self, latent: Tensor) -> Tensor:
        """The picture before it is clamped, in the module's type."""
        latent = latent / self.factor + self.offset if self.offset else latent / self.factor
        return self.decode(latent.to(self.dtype))

    def decode(self, latent: Tensor) -> Tensor:
        """Latents after the scaling -> [G, 3, 8h, 8w], about [-1, 1] and not clamped."""
        net = self.inner
        if not self.is_kl:
            # The clamp of AutoencoderTiny's decoder, and its step from [0, 1]; the layers are its own.
            made: Tensor = net.layers(torch.tanh(latent / 3) * 3)
            return made * 2 - 1
        share = self.share
        if self.post_quant is not None:
            latent = self.post_quant(latent)
        x = _middle(net.mid_block, layers.shared_layer(net.conv_in, latent, share), share)
        for block in net.up_blocks:
            for resnet in block.resnets:
                x = layers.resnet(resnet, x, None, share=share)
            if block.upsamplers is not None:
                x = layers.upsample(block.upsamplers[0], x, share=share)
        y: Tensor = net.conv_out(layers.group_norm(net.conv_norm_out, x, silu=True, share=share))
        return y


def half_parameters(of: Architecture) -> tuple[int, int]:
    """How many numbers an autoencoder's encoder and decoder hold, each with its 1x1 convolution.

    Nothing is read, and no memory is taken.
    """
    encoder = decoder = 0
    for name, item in build(of).named_parameters():
        if name.startswith(("encoder.", "quant_conv.")):
            encoder += item.numel()
        else:
            decoder += item.numel()
    return encoder, decoder


def _middle(block: Any, x: Tensor, share: float) -> Tensor:
    x = layers.resnet(block.resnets[0], x, None, share=share)
    for attention, resnet in zip(block.attentions, block.resnets[1:], strict=True):
        if attention is not None:
            x = x + _attention(attention, x, share)
        x = layers.resnet(resnet, x, None, share=share)
    return x


def _attention(module: Any, x: Tensor, share: float) -> Tensor:
    """The autoencoder's self-attention over all pixels, without its residual."""
    y = layers.group_norm(module.group_norm, x, share=share).flatten(2).transpose(1, 2)
    # One head of 512 channels: no engine fuses it, so its scores are float32.
    q, k, v = (layers.split_heads(to(y), module.heads) for to in (module.to_q, module.to_k, module.to_v))
    y = layers.join_heads(layers.attend(q, k, v, wide=True))
    y = layers.shared_layer(module.to_out[0], y, share)
    result: Tensor = y.transpose(1, 2).reshape(x.shape)
    return result


def _share(vae: nn.Module, dtype: torch.dtype) -> float:
    source: Any = vae
    return SHARE if dtype == torch.float16 and _is_kl(vae) and source.config.force_upcast else 1.0


def _is_kl(vae: nn.Module) -> bool:
    return type(vae).__name__ == "AutoencoderKL"


def _check(vae: nn.Module) -> None:
    if type(vae).__name__ not in ("AutoencoderKL", "AutoencoderTiny"):
        raise WeightsError(
            "V2V-E6107",
            f"an autoencoder of class {type(vae).__name__}",
            "AutoencoderKL or AutoencoderTiny",
            "use the VAE of SD or SDXL, or TAESD",
        )
