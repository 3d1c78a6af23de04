"""The golden attention and network as modules, their caches in our order, and the stream's options."""

from __future__ import annotations

from collections.abc import Iterator

from diffusers import UNet2DConditionModel
from golden_data import golden_config, golden_folder, golden_numbers, golden_tensors
from safetensors.torch import load_file
from torch import Tensor, nn
from v2v_export.diffusion.samplers import Table, indexed, lcm
from v2v_export.system import FrameSize
from v2v_export.systems.live2diff.options import RING_SLOTS, SCHEDULE, WARMUP_FRAMES
from v2v_export.systems.live2diff.temporal import TemporalAttention, TemporalParts, without_positions

RULES = {"corrected": "corrected.", "official": ""}
"""Start-up rule -> prefix of its tensors."""


def golden_attention() -> TemporalAttention:
    """With the published weights' names, its table of positions checked."""
    given = golden_tensors("live2diff", "attention")
    state = {
        name.removeprefix("weights."): item for name, item in given.items() if name.startswith("weights.")
    }
    kept = without_positions(state)
    module = TemporalAttention(kept["to_q.weight"].shape[0])
    module.load_state_dict(kept)
    return module.eval()


def golden_heads() -> int:
    """Heads of the golden attention."""
    heads: int = golden_numbers("live2diff", "attention")["heads"]
    return heads


def golden_unet_config() -> dict[str, object]:
    """The published UNet's sizes, by the names of the image UNet that it was inflated from."""
    config = golden_config("live2diff")["unet_streaming_config"]
    names = ("cross_attention_dim", "attention_head_dim", "norm_num_groups", "layers_per_block", "norm_eps")
    kinds = {
        f"{side}_block_types": tuple(kind.replace("3D", "2D") for kind in config[f"{side}_block_types"])
        for side in ("down", "up")
    }
    widths = tuple(config["block_out_channels"])
    return {"block_out_channels": widths, **kinds, **{name: config[name] for name in names}}


def golden_network() -> tuple[nn.Module, TemporalParts]:
    """The whole network, loaded under its official key names."""
    unet = UNet2DConditionModel(**golden_unet_config())
    state = load_file(golden_folder("live2diff") / "weights.safetensors")
    kept = without_positions({name: tensor.float() for name, tensor in state.items()})
    parts = TemporalParts(unet.config)
    parts.load_state_dict({name: kept.pop(name) for name, _ in parts.named_parameters()})
    unet.load_state_dict(kept)
    return unet.eval(), parts.eval()


def golden_table() -> Table:
    """The sampler of the set's steps."""
    config = golden_config("live2diff")
    return lcm(indexed(config["t_index_list"], config["num_inference_steps"]), SCHEDULE)


def golden_size() -> FrameSize:
    config = golden_config("live2diff")
    return FrameSize(config["image_h"], config["image_w"])


def kept_entries(slots: Tensor) -> Iterator[tuple[int, int, int]]:
    """(step, row, rolling slot from 0) of every entry that is still there after all steps.

    Args:
        slots: [steps, T], the published ``update_idx``: the slot, sinks counted, that each row wrote.
    """
    for row in range(slots.shape[1]):
        last = {int(slot) - WARMUP_FRAMES: step for step, slot in enumerate(slots[:, row])}
        for slot, step in last.items():
            if step >= len(slots) - RING_SLOTS:
                yield step, row, slot


def ring_difference(found: Tensor, published: Tensor, slots: Tensor) -> float:
    """Largest difference of our rolling entries from the published ones, whatever slots those lie in.

    Args:
        found: [8, T, HW, 2, C], ours, where the entry of a step is at that step modulo 8.
        published: [T, 2, HW, 8, C], after all steps.
        slots: see ``kept_entries``.
    """
    entries = list(kept_entries(slots))
    assert len(entries) == min(len(slots), RING_SLOTS) * slots.shape[1], "the set ends inside its start-up"
    return max(
        float((found[step % RING_SLOTS, row] - published[row, :, :, slot].transpose(0, 1)).abs().max())
        for step, row, slot in entries
    )
