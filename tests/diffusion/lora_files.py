"""Files of LoRAs with random updates, and what a module becomes with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from v2v_export.diffusion.configs import ARCHITECTURES, build
from v2v_export.diffusion.lora import fuse, open_loras
from v2v_export.diffusion.random_weights import random_state
from v2v_export.weights import Scaled

MODULES = {"unet": "tiny_sd15", "text_encoder": "tiny_clip"}


def layers(name: str) -> dict[str, tuple[int, ...]]:
    """Every layer of an architecture that a LoRA can change, with its weight's shape."""
    return {
        key: tuple(module.weight.shape)
        for key, module in build(ARCHITECTURES[name]).named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }


def chosen(name: str, *words: str) -> dict[str, tuple[int, ...]]:
    found = {key: shape for key, shape in layers(name).items() if any(word in key for word in words)}
    assert found
    return found


def some(name: str, *words: str) -> dict[str, tuple[int, ...]]:
    """One layer in five of each word's: peft takes its time over each."""
    found = chosen(name, *words)
    return {key: found[key] for word in words for key in [key for key in found if word in key][1::5]}


def pair(layer: str, shape: tuple[int, ...], rank: int = 4) -> tuple[Tensor, Tensor]:
    """down [rank, in, ...kernel] and up [out, rank, 1, 1], of a layer."""
    generator = torch.Generator().manual_seed(len(layer) + sum(map(ord, layer)))
    down = torch.randn((rank, *shape[1:]), generator=generator) * 0.2
    up = torch.randn((shape[0], rank, *(1,) * (len(shape) - 2)), generator=generator) * 0.2
    return down, up


def kohya(prefix: str, names: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """A file's tensors: layer -> its spelling, flattened, with alpha half of the rank."""
    file = {}
    for layer, spelling in names.items():
        flat = prefix + spelling.replace(".", "_")
        file[f"{flat}.lora_down.weight"], file[f"{flat}.lora_up.weight"] = pair(layer, shapes[layer])
        file[f"{flat}.alpha"] = torch.tensor(2.0)
    return file


def peft(prefix: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    file = {}
    for layer, shape in shapes.items():
        file[f"{prefix}.{layer}.lora_A.weight"], file[f"{prefix}.{layer}.lora_B.weight"] = pair(layer, shape)
    return file


def saved(path: Path, tensors: Mapping[str, Tensor], **metadata: str) -> Path:
    save_file({key: item.contiguous() for key, item in tensors.items()}, path, metadata or None)
    return path


def ours(modules: Mapping[str, str], part: str, given: Iterable[Scaled]) -> dict[str, Tensor]:
    """A module's tensors in float32 with LoRAs fused in by us."""
    known: Any = {key: ARCHITECTURES[name] for key, name in modules.items()}
    state = {key: item.float() for key, item in random_state(ARCHITECTURES[modules[part]], 0).items()}
    return fuse(state, part, open_loras(list(given), known))  # type: ignore[arg-type]  # a component's name


def differing(name: str, state: Mapping[str, Tensor]) -> set[str]:
    plain = random_state(ARCHITECTURES[name], 0)
    return {key for key, item in state.items() if not torch.equal(item, plain[key].float())}
