"""Other networks in the same machine, eager: the graphs' modules, called as the program says, against the
literal stream."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from v2v_export.bench.eager import EagerStream
from v2v_export.clip import moving_frames
from v2v_export.system import FrameSize, GraphOptions
from v2v_export.systems.stream_diffusion import SYSTEM
from v2v_export.systems.stream_diffusion.options import StreamDiffusionOptions
from v2v_export.systems.stream_diffusion.stream import StreamDiffusionModel

SIZE = FrameSize(64, 128)


CASES: dict[str, dict[str, Any]] = {
    "SD1.5 with the KL autoencoder": {"architecture": "tiny_sd15", "vae": "tiny_kl", "cfg": "self"},
    "SD2.1, which predicts v": {
        "architecture": "tiny_sd21",
        "cfg": "initialize",
        "prediction": "v_prediction",
        "clip_skip": 1,
    },
    "SDXL with true guidance": {"architecture": "tiny_sdxl", "cfg": "full"},
    "SDXL with one unconditional row": {"architecture": "tiny_sdxl", "cfg": "initialize"},
    "SDXL from embeddings": {"architecture": "tiny_sdxl", "cfg": "none", "prompt": "embeddings"},
}


@pytest.mark.parametrize("case", CASES)
def test_graphs_are_the_literal_stream(case: str) -> None:
    cfg = CASES[case]["cfg"]
    options = StreamDiffusionOptions(
        **{"vae": "tiny_taesd", **CASES[case]},
        t_index_list=(20, 35, 45),
        text="a lake",
        guidance=1.0 if cfg == "none" else 1.4,
        delta=0.7,
        negative_text="grey" if cfg in ("initialize", "full") else "",
    )
    model = SYSTEM.load({"base": "random:5"}, options, SIZE)
    assert isinstance(model, StreamDiffusionModel)
    literal, eager = model.literal(torch.float32), EagerStream(model)
    for frame in moving_frames(4, SIZE.height, SIZE.width):
        literal.step(frame)
        eager.push(frame)
        seen = eager.values
        assert literal.clean is not None
        assert bool(torch.isfinite(seen["clean"]).all())
        pairs = [(seen["clean"], literal.clean), (seen["x_buf"], literal.machine.buffer)]
        if options.residual:
            pairs.append((seen["stock"], literal.machine.stock))
        for ours, theirs in pairs:
            scale = max(1.0, float(theirs.abs().max()))
            assert float((ours - theirs).abs().max()) <= 2e-5 * scale


@pytest.mark.parametrize(("cfg", "rows"), [("none", 1), ("full", 2)])
def test_sdxl_is_told_a_frame_height_first(cfg: Any, rows: int) -> None:
    """Original height and width, top and left of the crop, height and width shown (SDXL's paper,
    section 2.2); the literal stream reads the same numbers, so it cannot tell."""
    options = StreamDiffusionOptions(architecture="tiny_sdxl", vae="tiny_taesd", cfg=cfg)
    ids = SYSTEM.load({"base": "random:5"}, options, SIZE).blobs()["blobs/prompt.safetensors"]["time_ids"]
    assert ids.tolist() == [[64, 128, 0, 0, 64, 128]] * rows


@pytest.mark.parametrize("architecture", ["tiny_sd15", "tiny_sdxl"])
def test_every_graph_says_how_many_weights_it_holds(architecture: Any) -> None:
    """By counting what the modules really hold. The step's module holds the prompt's projections too, and its
    graph does not: they are read by ``cross_kv`` alone."""
    options = StreamDiffusionOptions(architecture=architecture, vae="tiny_kl", text="a lake")
    model = SYSTEM.load({"base": "random:5"}, options, SIZE)
    specs = {spec.name: spec for spec in model.graphs(GraphOptions())}
    held = {
        name: sum(item.numel() for item in spec.make().parameters() if not item.is_meta)
        for name, spec in specs.items()
    }
    held["unet_step"] -= held["cross_kv"]
    counts = dict(model.weight_counts())
    assert counts.keys() == held.keys()
    for name in ("cross_kv", "encode", "unet_step", "decode"):
        assert counts[name] == held[name], name
