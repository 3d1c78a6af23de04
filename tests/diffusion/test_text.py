"""Text encoders against transformers' own forward, and their graphs against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from support.tensorrt_nets import build as build_engine
from support.tensorrt_nets import request
from torch import Tensor, nn
from v2v_export.diffusion.configs import ARCHITECTURES, build
from v2v_export.diffusion.prompt_errors import PromptError
from v2v_export.diffusion.random_weights import random_state
from v2v_export.diffusion.text import ClipText, TwoClipText
from v2v_export.export.pipeline import export_graph
from v2v_export.system import GraphSpec
from v2v_export.targets.tensorrt import BUILDER
from v2v_runtime.manifest.model import TensorSpec

START, END = 49406, 49407


def network(name: str, seed: int = 0, **config: Any) -> nn.Module:
    arch = ARCHITECTURES[name]
    module = build(arch, "cpu")
    module.load_state_dict(random_state(arch, seed))
    for key, value in config.items():
        setattr(getattr(module, "text_model", module), key, value)
    return module.float().eval()


def prompt(words: list[int], pad: int) -> list[int]:
    return [START, *words, END] + [pad] * (75 - len(words))


def tokens(pad: int = END) -> Tensor:
    """An empty prompt, a short one, and one that fills all places."""
    generator = np.random.default_rng(3)
    full = generator.integers(0, START, 75).tolist()
    return torch.tensor([prompt([], pad), prompt([320, 2368, 0, 256], pad), prompt(full, pad)])


def largest(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.float() - theirs.float()).abs().max())


@pytest.mark.parametrize("name", ["tiny_clip", "tiny_open_clip"])
@torch.no_grad()
def test_the_last_layer_as_transformers(name: str) -> None:
    module = network(name)
    theirs = module(tokens()).last_hidden_state
    assert theirs.std() > 0.1
    assert largest(ClipText(module)(tokens()), theirs) <= 2e-6


@torch.no_grad()
def test_a_skipped_layer_is_normed() -> None:
    module: Any = network("tiny_clip")
    states = module(tokens(), output_hidden_states=True).hidden_states
    theirs = module.final_layer_norm(states[-2])
    assert largest(ClipText(module, clip_skip=1)(tokens()), theirs) <= 2e-6
    assert largest(ClipText(module, clip_skip=0)(tokens()), theirs) > 0.1


@torch.no_grad()
def test_sdxl_s_two() -> None:
    first, second = network("tiny_clip"), network("tiny_open_clip_projected", 1)
    ids, ids_2 = tokens(), tokens(pad=0)
    a = first(ids, output_hidden_states=True).hidden_states[-2]
    theirs = second(ids_2, output_hidden_states=True)
    embeds, pooled = TwoClipText(first, second)(ids, ids_2)
    assert largest(embeds, torch.cat((a, theirs.hidden_states[-2]), -1)) <= 2e-6
    assert largest(pooled, theirs.text_embeds) <= 2e-6


@torch.no_grad()
def test_the_end_is_the_first_end_token_wherever_it_stands() -> None:
    """Configs that name the end token's own id, and early ones that say 2 and mean the largest id."""
    for named in (2, END):
        second = network("tiny_open_clip_projected", 1, eos_token_id=named)
        second.config.eos_token_id = named  # type: ignore[union-attr]
        for pad in (0, END):
            _, pooled = TwoClipText(network("tiny_clip"), second)(tokens(), tokens(pad))
            assert largest(pooled, second(tokens(pad)).text_embeds) <= 2e-6


@torch.no_grad()
def test_later_words_do_not_change_earlier_states() -> None:
    """The mask is a finite number; what is masked must have no share at all."""
    encoder = ClipText(network("tiny_clip"))
    ids = tokens()[2:]
    other = ids.clone()
    other[:, 40:] = 7
    a, b = encoder(ids), encoder(other)
    assert torch.equal(a[:, :40], b[:, :40])
    assert largest(a[:, 40:], b[:, 40:]) > 0.1


def test_ids_past_the_vocabulary_are_the_last() -> None:
    encoder = ClipText(network("tiny_clip"))
    ids = tokens()
    wild = ids.clone()
    wild[1, 3], ids[1, 3] = 10**12, END
    wild[1, 2], ids[1, 2] = -5, 0
    assert torch.equal(encoder(wild), encoder(ids))


def test_a_second_encoder_without_projection() -> None:
    with pytest.raises(PromptError, match="V2V-E6162"):
        TwoClipText(network("tiny_clip"), network("tiny_open_clip"))


def test_an_encoder_that_is_not_clip_s() -> None:
    module: Any = network("tiny_clip")
    module.config.hidden_act = "relu"
    with pytest.raises(PromptError, match=r"V2V-E6161.*relu"):
        ClipText(module)


@pytest.mark.parametrize("float_type", ["float32", "float16"])
@torch.no_grad()
def test_exported(float_type: Any, tmp_path: Path) -> None:
    """Both graphs on ONNX Runtime against transformers in float32; half precision never leaves its range."""
    dtype = getattr(torch, float_type)
    first, second = network("tiny_clip"), network("tiny_open_clip_projected", 1)
    ids = {"tokens": tokens(), "tokens_2": tokens(0)}
    shapes = {name: TensorSpec("int64", (3, 77)) for name in ids}
    embeds, pooled = TensorSpec("float", (3, 77, 32)), TensorSpec("float", (3, 32))
    specs = [
        GraphSpec(
            "one",
            lambda: ClipText(first, dtype),
            {"tokens": shapes["tokens"]},
            {"embeds": embeds},
            example={"tokens": ids["tokens"]},
        ),
        GraphSpec(
            "two",
            lambda: TwoClipText(first, second, dtype),
            shapes,
            {"embeds": TensorSpec("float", (3, 77, 64)), "pooled": pooled},
            example=ids,
        ),
    ]
    a = first(ids["tokens"], output_hidden_states=True)
    b = second(ids["tokens_2"], output_hidden_states=True)
    expected = {
        "one": [a.last_hidden_state],
        "two": [torch.cat((a.hidden_states[-2], b.hidden_states[-2]), -1), b.text_embeds],
    }
    limit = 3e-6 if float_type == "float32" else 2e-2
    for spec in specs:
        export_graph(spec, float_type, {}, tmp_path, spec.name)
        session = onnxruntime.InferenceSession(str(tmp_path / f"{spec.name}.onnx"))
        made = session.run(None, {name: ids[name].numpy() for name in spec.inputs})
        for ours, theirs in zip(made, expected[spec.name], strict=True):
            assert ours.dtype == np.dtype(float_type)
            assert np.isfinite(ours).all()
            assert np.abs(ours.astype(np.float32) - theirs.numpy()).max() <= limit * float(theirs.abs().max())
    if float_type == "float16" and BUILDER.available().ok:
        for name in expected:
            result = build_engine(request(tmp_path / f"{name}.onnx", tmp_path / f"{name}.engine"))
            assert result.counters["weight_bytes"] > 49408 * 32 * 2
