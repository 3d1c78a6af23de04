"""The depth detector's weights: published names load; one of random weights sees a depth, and its picture
says something of the frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from systems.live2diff.published_dpt import published_names
from transformers import DPTConfig, DPTForDepthEstimation
from v2v_export.diffusion.pictures import to_picture
from v2v_export.systems.live2diff.depth import DepthPicture
from v2v_export.systems.live2diff.depth_configs import DPT_HYBRID, TINY
from v2v_export.systems.live2diff.depth_detector import DepthDetector
from v2v_export.systems.live2diff.depth_weights import DepthSource
from v2v_export.systems.live2diff.errors import WeightsError

SIDE = 128


def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def gradient() -> NDArray[np.uint8]:
    y, x = np.mgrid[0:SIDE, 0:SIDE] * 255 // (SIDE - 1)
    return np.stack([x, y, (x + y) // 2], -1).astype(np.uint8)


@pytest.mark.parametrize("frame", [noise(), gradient()], ids=["noise", "gradient"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_picture_of_a_random_detector_is_not_flat(seed: int, frame: NDArray[np.uint8]) -> None:
    """Deviations, of a range of 2, are 0.33 to 0.40, and every pixel is above the last ReLU's zero. Behind a
    last convolution of both signs at most 5 % are, and the same four deviations are 0.00 to 0.18.
    """
    detector = DepthDetector(DepthSource(f"random:{seed}", "tiny_dpt_hybrid").load())
    pictures = to_picture(torch.from_numpy(frame)[None], torch.float32)
    with torch.no_grad():
        shown = DepthPicture(detector, torch.float32)(pictures)
    assert shown.shape == pictures.shape
    assert float(shown.std()) > 0.25
    # No level holds most of the picture, as the nearest or farthest one would of specks.
    assert float((shown == shown.median()).float().mean()) < 0.01


def test_the_installed_module_has_the_published_names() -> None:
    """They are 414: 3 of the embedder, 16 bottlenecks of 9 and 3 first ones of 3 more, 4 embeddings, 12
    layers of 16, 2 of the last norm, 10 of the reassembly, 4 convolutions, 4 fusion blocks of 10, 6 of the
    head."""
    with torch.device("meta"):
        model = DPTForDepthEstimation(DPTConfig(**DPT_HYBRID))
    names = published_names()
    assert len(names) == 3 + 16 * 9 + 3 * 3 + 4 + 12 * 16 + 2 + 10 + 4 + 4 * 10 + 6
    assert {name for name, _ in model.named_parameters()} == names


@pytest.mark.parametrize("text", ["[]", "null", "5", "{", "[" * 100000], ids=lambda text: text[:4])
def test_a_configuration_that_is_no_object(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"V2V-E6272.*config\.json"):
        DepthSource(str(tmp_path), "tiny_dpt_hybrid")


def test_a_file_of_the_published_names(model: DPTForDepthEstimation, tmp_path: Path) -> None:
    """With a pooler, which DPT's encoder has and the depth does not need."""
    state = model.state_dict()
    names = published_names(TINY["backbone_config"]["depths"], TINY["num_hidden_layers"])
    file = {name: state[name] for name in names}
    file |= {"dpt.pooler.dense.weight": torch.ones(32, 32), "dpt.pooler.dense.bias": torch.ones(32)}
    model.config.save_pretrained(tmp_path)
    save_file(file, tmp_path / "model.safetensors")
    loaded = DepthSource(str(tmp_path), "dpt_hybrid").load().state_dict()
    assert loaded.keys() == names
    assert all(torch.equal(loaded[name], state[name]) for name in names)
