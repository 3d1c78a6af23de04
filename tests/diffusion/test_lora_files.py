"""Where the files of LoRAs are found, what they are called, and that no order of them changes anything."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusion.lora_files import MODULES, chosen, differing, ours, peft, saved
from support.hub_server import HubServer, asking
from v2v_export.diffusion.configs import ARCHITECTURES
from v2v_export.diffusion.errors import LoraError, WeightsError
from v2v_export.diffusion.lora import fuse, open_loras
from v2v_export.diffusion.random_weights import random_state
from v2v_export.weights import Scaled


def test_the_order_of_several_changes_no_bit(tmp_path: Path) -> None:
    """Three that are called alike, as every LoRA that diffusers saves: float32 sums of three depend on their
    order, so what is in the files must decide it."""
    layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    given = []
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        down, up = torch.randn((4, 32), generator=generator), torch.randn((32, 4), generator=generator)
        (tmp_path / str(seed)).mkdir()
        path = tmp_path / str(seed) / "pytorch_lora_weights.safetensors"
        saved(path, {f"unet.{layer}.lora_A.weight": down / 8, f"unet.{layer}.lora_B.weight": up / 8})
        given.append(Scaled(str(path)))
    known: Any = {"unet": ARCHITECTURES["tiny_sd15"]}
    state = {f"{layer}.weight": random_state(ARCHITECTURES["tiny_sd15"], 0)[f"{layer}.weight"].float()}
    made, sums = [], []
    for order in itertools.permutations(given):
        loras = open_loras(list(order), known)
        made.append(fuse(state, "unet", loras)[f"{layer}.weight"])
        updates = [lora.update("unet", layer, state[f"{layer}.weight"]) for lora in loras]
        sums.append(updates[0] + updates[1] + updates[2])
    assert any(not torch.equal(item, sums[0]) for item in sums)
    assert all(torch.equal(item, made[0]) for item in made)


def test_a_folder_and_a_repository_of_a_lora(tmp_path: Path) -> None:
    """As diffusers saves one, whatever is beside it; under another name it is alone."""
    shapes = chosen("tiny_sd15", "attn1.to_q")
    (tmp_path / "lcm").mkdir()
    standard = saved(tmp_path / "lcm" / "pytorch_lora_weights.safetensors", peft("unet", shapes))
    (tmp_path / "lcm" / "older.safetensors").write_bytes(b"no tensors")
    files = {path.name: path.read_bytes() for path in standard.parent.iterdir()}
    (tmp_path / "style").mkdir()
    (tmp_path / "style" / "style.safetensors").write_bytes(standard.read_bytes())
    wanted = ours(MODULES, "unet", [Scaled(str(standard))])
    assert differing("tiny_sd15", wanted) == {f"{layer}.weight" for layer in shapes}
    server = HubServer({**files, "README.md": b""})
    with asking(server.url, tmp_path / "cache"):
        for value in (str(tmp_path / "lcm"), str(tmp_path / "style"), "hub:some/pipe"):
            found = ours(MODULES, "unet", [Scaled(value)])
            assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    server.close()
    assert not any("older" in request or "README" in request for request in server.asked)


def test_a_folder_of_several_loras(tmp_path: Path) -> None:
    files = {f"{steps}steps.safetensors": b"no tensors" for steps in (4, 8)}
    (tmp_path / "fast").mkdir()
    for name, data in files.items():
        (tmp_path / "fast" / name).write_bytes(data)
    server = HubServer(files)
    with asking(server.url, tmp_path / "cache"):
        for value in (str(tmp_path / "fast"), "hub:some/pipe"):
            with pytest.raises(WeightsError, match=r"(?s)V2V-E6101.*the path of the file") as caught:
                ours(MODULES, "unet", [Scaled(value)])
            assert caught.value.seen.startswith(value if value.startswith("hub:") else "fast")
    server.close()
    assert not any("resolve" in request for request in server.asked)


def test_files_that_are_called_alike_are_told_apart(tmp_path: Path) -> None:
    shapes = chosen("tiny_sd15", "attn1.to_q")
    good, bad = peft("unet", shapes), peft("unet", shapes)
    bad[next(iter(bad))][0, 0] = torch.nan
    given = []
    for name, file in (("line", good), ("look", bad)):
        (tmp_path / name / "lora").mkdir(parents=True)
        given.append(Scaled(str(saved(tmp_path / name / "lora" / "x.safetensors", file))))
    with pytest.raises(LoraError) as caught:
        ours(MODULES, "unet", given)
    assert caught.value.seen.startswith("line/lora/x.safetensors, look/lora/x.safetensors: ")
    with pytest.raises(LoraError) as caught:
        ours(MODULES, "unet", given[1:] * 2)
    assert caught.value.seen.startswith("x.safetensors, x.safetensors: ")
