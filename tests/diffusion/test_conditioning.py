"""The prompt's part of a program: shapes, graphs and the literal values that judge them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.numpy import save_file
from support.prompt_system import network
from v2v_export.diffusion.conditioning import Conditioning
from v2v_export.diffusion.configs import ARCHITECTURES, Architecture
from v2v_export.diffusion.prompt_errors import PromptError
from v2v_export.diffusion.sources import open_module
from v2v_export.diffusion.tokens import load_tokenizers
from v2v_export.export.pipeline import export_graph
from v2v_export.system import GraphOptions
from v2v_runtime.manifest.model import Changed

TIME_IDS = np.array([(512, 768, 0, 0, 512, 768)] * 2, np.float32)


def one(**changes: Any) -> Conditioning:
    given: dict[str, Any] = {
        "form": "tokens",
        "texts": ("a cat",),
        "unet": open_module("random:0", "unet", "tiny_sd15"),
        "encoders": (open_module("random:1", "text_encoder", "tiny_clip"),),
        "tokenizer": load_tokenizers("random:0"),
    }
    return Conditioning(**{**given, **changes})


def small(**changes: Any) -> Conditioning:
    return one(unet=network(sdxl=False), **changes)


def two(**changes: Any) -> Conditioning:
    given: dict[str, Any] = {
        "texts": ("blurry", "a cat, by the sea!"),
        "unet": open_module("random:0", "unet", "tiny_sdxl"),
        "encoders": (
            open_module("random:1", "text_encoder", "tiny_clip"),
            open_module("random:2", "text_encoder_2", "tiny_open_clip_projected"),
        ),
        "tokenizer": load_tokenizers("random:0", 2),
        "time_ids": TIME_IDS,
    }
    return one(**{**given, **changes})


def played(made: Conditioning, folder: Path, float_type: Any = "float32") -> dict[str, np.ndarray]:
    """Every slot, from the default params through the exported graphs in the calls' order."""
    values = dict(made.blobs()["blobs/prompt.safetensors"])
    for spec in made.graphs(GraphOptions(float_type)):
        export_graph(spec, float_type, {}, folder, spec.name)
        session = onnxruntime.InferenceSession(str(folder / f"{spec.name}.onnx"))
        feeds = {name: values[name] for name in spec.inputs}
        for name, port in spec.inputs.items():
            if port.dtype == "float":
                feeds[name] = feeds[name].astype(float_type)
        values.update(zip(spec.outputs, session.run(list(spec.outputs), feeds), strict=True))
    return values


@pytest.mark.parametrize(
    ("make", "form", "pick"),
    [(small, "tokens", None), (two, "tokens", (0, 1, 1)), (two, "embeddings", None)],
)
def test_graphs_make_what_the_literal_networks_make(make: Any, form: Any, pick: Any, tmp_path: Path) -> None:
    """transformers' and diffusers' own modules against the graphs on ONNX Runtime."""
    made: Conditioning = make(form=form, pick=pick)
    unet = made.unet.load()
    expected = made.literal_slots(unet.float(), made.literal())
    values = played(made, tmp_path)
    pieces = made.pieces()
    assert set(expected) == set(pieces.slots)
    assert values["ok"].tolist() == [True]
    for name, slot in pieces.slots.items():
        assert values[name].shape == slot.shape == expected[name].shape
        scale = np.abs(expected[name]).max()
        assert scale > 0.05
        assert np.abs(values[name] - expected[name]).max() <= 5e-6 * scale


def test_half_precision_is_finite_and_near(tmp_path: Path) -> None:
    made = two(unet=network(sdxl=True))
    expected = made.literal_slots(made.unet.load().float(), made.literal())
    values = played(made, tmp_path, "float16")
    assert values["ok"].tolist() == [True]
    for name, value in expected.items():
        assert values[name].dtype == np.float16
        error = np.abs(values[name].astype(np.float32) - value).max()
        assert error <= 2e-2 * np.abs(value).max()


def test_the_pieces_of_a_plain_stream() -> None:
    made = one()
    pieces = made.pieces()
    assert {name: (p.dtype, p.shape) for name, p in pieces.params.items()} == {
        "prompt_tokens": ("int64", (1, 77))
    }
    assert [call.name for call in pieces.calls] == ["text", "cross_kv"]
    assert all(call.when == Changed(("prompt_tokens",)) for call in pieces.calls)
    # SD1.5 has 16 layers with cross-attention: two keys-and-values tensors each.
    assert list(pieces.cross)[:3] == ["cross_k_00", "cross_v_00", "cross_k_01"]
    assert len(pieces.cross) == 32
    assert set(pieces.slots) == {"prompt_embeds", *pieces.cross}
    assert not pieces.consts
    tokens = made.blobs()["blobs/prompt.safetensors"]["prompt_tokens"]
    assert tokens.dtype == np.int64
    assert tokens[0, 0] == 49406


def test_the_pieces_of_sdxl() -> None:
    pieces = two().pieces()
    assert list(pieces.params) == ["prompt_tokens", "prompt_tokens_2"]
    assert {"prompt_embeds", "pooled_embeds", "added"} <= set(pieces.slots)
    assert list(pieces.cross)[-1] == "added"
    assert pieces.consts["time_ids"].shape == (2, 6)
    given = two(form="embeddings").pieces()
    assert list(given.params) == ["prompt_embeds", "pooled_embeds"]
    assert [call.name for call in given.calls] == ["cross_kv"]
    assert "prompt_embeds" not in given.slots


def test_the_second_row_is_the_prompt() -> None:
    blobs = two().blobs()["blobs/prompt.safetensors"]
    negative, prompt = (
        one(texts=(text,)).tokens()["prompt_tokens"][0] for text in ("blurry", "a cat, by the sea!")
    )
    np.testing.assert_array_equal(blobs["prompt_tokens"], [negative, prompt])
    # The two encoders pad differently, and the second reads "!" as its padding.
    assert blobs["prompt_tokens_2"][1, -1] == 0
    assert blobs["prompt_tokens"][1, -1] == 49407


def test_weight_counts_are_those_of_the_modules() -> None:
    made = two()
    counts = made.weight_counts()
    for spec in made.graphs(GraphOptions()):
        module = spec.make()
        held = sum(item.numel() for item in module.parameters())
        # The first encoder's last layer and norm are not run, so not held.
        assert held <= counts[spec.name] <= 1.02 * held


def test_a_prompt_that_is_too_long_is_refused_with_what_is_left_over() -> None:
    # The vocabulary that goes with random weights merges pairs of letters: w, or, d; 25 of them fill the 75.
    text = "word " * 25 + "the very end"
    with pytest.raises(PromptError, match=r"(?s)V2V-E6166.*82 tokens, 7 too many: from 'the very end' on"):
        one(texts=(text,)).blobs()


def test_a_file_of_embeddings(tmp_path: Path) -> None:
    file = str(tmp_path / "prompt.safetensors")
    embeds = np.random.default_rng(0).standard_normal((1, 77, 32)).astype(np.float16)
    save_file({"prompt_embeds": embeds}, file)
    made = one(form="embeddings", encoders=(), tokenizer=None, embeddings=file)
    stored = made.blobs()["blobs/prompt.safetensors"]["prompt_embeds"]
    np.testing.assert_array_equal(stored, embeds.astype(np.float32))
    assert stored.dtype == np.float32
    assert "blobs/tokenizer.safetensors" not in made.blobs()


@pytest.mark.parametrize(
    "tensors",
    [
        {"prompt_embeds": np.zeros((1, 77, 64), np.float32)},
        {"prompt_embeds": np.zeros((1, 77, 32), np.int64)},
        {"embeds": np.zeros((1, 77, 32), np.float32)},
    ],
)
def test_a_file_of_other_embeddings(tensors: dict[str, np.ndarray], tmp_path: Path) -> None:
    file = str(tmp_path / "prompt.safetensors")
    save_file(tensors, file)
    with pytest.raises(PromptError, match=r"V2V-E6168.*prompt.safetensors"):
        one(form="embeddings", encoders=(), embeddings=file).blobs()


@pytest.mark.parametrize(("kind", "value"), [("float32", np.nan), ("float16", -np.inf), ("float64", 1e39)])
def test_a_file_of_embeddings_that_are_not_finite(kind: str, value: float, tmp_path: Path) -> None:
    file = tmp_path / "prompt.safetensors"
    tensor = np.zeros((1, 77, 32), kind)
    save_file({"prompt_embeds": tensor}, file)
    stored = one(form="embeddings", encoders=(), embeddings=str(file)).blobs()
    assert stored["blobs/prompt.safetensors"]["prompt_embeds"].dtype == np.float32
    tensor[0, 5, 7] = value
    save_file({"prompt_embeds": tensor}, file)
    with pytest.raises(PromptError, match=r"(?s)V2V-E6168.*prompt_embeds"):
        one(form="embeddings", encoders=(), embeddings=str(file)).blobs()


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "prompt.safetensors"
    file.write_bytes(b"no tensors")
    with pytest.raises(PromptError, match="V2V-E6168"):
        one(form="embeddings", encoders=(), embeddings=str(file)).blobs()


@pytest.mark.parametrize(
    "changes", [{"encoders": ()}, {"tokenizer": None}, {"form": "embeddings", "encoders": ()}]
)
def test_nothing_to_read_the_first_prompt_with(changes: dict[str, Any]) -> None:
    with pytest.raises(PromptError, match="V2V-E6169"):
        one(**changes)


def test_encoders_that_do_not_fit_the_network() -> None:
    with pytest.raises(PromptError, match=r"(?s)V2V-E6163.*clip_l, 768 wide.*32 for the network tiny_sd15"):
        one(encoders=(open_module("random:0", "text_encoder", "clip_l"),))
    with pytest.raises(PromptError, match=r"(?s)V2V-E6162.*1 text encoders.*2 for the network tiny_sdxl"):
        two(encoders=one().encoders)


class Unread:
    """A network of which only the architecture may be looked at."""

    def __init__(self, of: Architecture) -> None:
        self.architecture = of

    def load(self, keep: Any = None) -> torch.nn.Module:
        raise AssertionError("read")


@pytest.mark.parametrize("form", ["tokens", "embeddings"])
@pytest.mark.parametrize("skip", [-1, 12, 13])
def test_a_clip_skip_that_leaves_no_layer(form: Any, skip: int) -> None:
    """Told as soon as the architectures are known, whatever the form: embeddings are made with it too."""
    sd15, clip_l = Unread(ARCHITECTURES["sd15"]), Unread(ARCHITECTURES["clip_l"])
    one(unet=sd15, encoders=(clip_l,), form=form, clip_skip=11)
    with pytest.raises(PromptError, match=rf"V2V-E6160\] clip_skip = {skip} .*of 12 layers") as caught:
        one(unet=sd15, encoders=(clip_l,), form=form, clip_skip=skip)
    assert caught.value.expected.startswith("0 to 11 ")
    assert "clip_skip = 0 or 1" in caught.value.fix


def test_a_clip_skip_that_leaves_sdxl_no_layer() -> None:
    """CLIP-L has 12 layers and OpenCLIP bigG 32; SDXL takes both without their last one."""
    encoders = (Unread(ARCHITECTURES["clip_l"]), Unread(ARCHITECTURES["open_clip_bigg"]))
    two(unet=Unread(ARCHITECTURES["sdxl"]), encoders=encoders, clip_skip=10)
    with pytest.raises(PromptError, match=r"V2V-E6160\].*of 12 and 32 layers") as caught:
        two(unet=Unread(ARCHITECTURES["sdxl"]), encoders=encoders, clip_skip=11)
    assert caught.value.expected.startswith("0 to 10 ")


@pytest.mark.parametrize(("make", "most"), [(one, 1), (two, 0)])
def test_the_highest_clip_skip_is_one_that_works(make: Any, most: int) -> None:
    """The tiny text encoders have two layers: transformers' hidden states and the graphs agree."""
    made = make(clip_skip=most)
    (text, *_) = made.graphs(GraphOptions())
    tokens = [torch.from_numpy(value) for value in made.tokens().values()]
    result = text.make()(*tokens)
    embeds = result[0] if isinstance(result, tuple) else result
    torch.testing.assert_close(embeds, made.literal().embeds, rtol=0, atol=1e-5)
    with pytest.raises(PromptError, match="V2V-E6160"):
        make(clip_skip=most + 1)


def test_nothing_is_read_before_it_is_needed() -> None:
    made = one(unet=Unread(ARCHITECTURES["tiny_sd15"]))
    assert made.pieces().calls
    assert made.weight_counts()["cross_kv"] > 0
    assert made.blobs()
    assert len(made.graphs(GraphOptions())) == 2
