"""LoRAs go into the stream's UNet before export, each at its scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from v2v_export.errors import V2VError
from v2v_export.system import FrameSize
from v2v_export.systems.stream_diffusion import SYSTEM
from v2v_export.systems.stream_diffusion.options import StreamDiffusionOptions
from v2v_export.systems.stream_diffusion.stream import StreamDiffusionModel
from v2v_export.weights import Scaled

LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
OPTIONS = StreamDiffusionOptions(architecture="tiny_sd15", vae="tiny_taesd", text="a lake")


def unet_of(loras: tuple[Scaled, ...]) -> Any:
    weights: dict[str, Any] = {"base": "random:0", **({"lora": loras} if loras else {})}
    model = SYSTEM.load(weights, OPTIONS, FrameSize(64, 64))
    assert isinstance(model, StreamDiffusionModel)
    return model.literal(torch.float32).unet


def test_two_loras_add_up_at_their_scales(tmp_path: Path) -> None:
    plain = unet_of(()).get_parameter(f"{LAYER}.weight")
    generator = torch.Generator().manual_seed(1)
    products, loras = torch.zeros_like(plain), []
    for index, scale in enumerate((1.0, 0.5)):
        down = torch.randn(4, plain.shape[1], generator=generator) / 8
        up = torch.randn(plain.shape[0], 4, generator=generator) / 8
        path = tmp_path / f"{index}.safetensors"
        save_file({f"unet.{LAYER}.lora_A.weight": down, f"unet.{LAYER}.lora_B.weight": up}, path)
        loras.append(Scaled(str(path), scale))
        products += scale * (up @ down)
    fused = unet_of(tuple(loras)).get_parameter(f"{LAYER}.weight")
    # Weights are held as they are stored, in half precision.
    assert float((fused - (plain + products)).abs().max()) < 2e-3
    assert float(products.abs().max()) > 0.1


def test_a_lora_of_no_layer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file(
        {
            "unet.nothing.to_q.lora_A.weight": torch.ones(2, 8),
            "unet.nothing.to_q.lora_B.weight": torch.ones(8, 2),
        },
        path,
    )
    with pytest.raises(V2VError) as caught:
        unet_of((Scaled(str(path), 1.0),))
    assert caught.value.code == "V2V-E6110"
