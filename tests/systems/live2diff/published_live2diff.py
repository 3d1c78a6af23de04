"""The names of the temporal tensors in ``live2diff.ckpt``, from the published network's layout and from no
module of ours.

Two modules after each block of the UNet's way down, three on its way up, none in the middle; each is
AnimateDiff's transformer of one block with two attentions, and the depth encoder stands beside them.
"""

from __future__ import annotations

_BOTH = ("weight", "bias")


def published_names() -> set[str]:
    """Every name but those of the 40 tables of positions."""
    names: set[str] = set()
    modules = [f"flow_conv_in.{layer}" for layer in ("conv_in", "conv_out")]
    modules += [f"flow_conv_in.blocks.{index}" for index in range(6)]
    for half, layers in (("down", 2), ("up", 3)):
        for block in range(4):
            for layer in range(layers):
                outer = f"{half}_blocks.{block}.motion_modules.{layer}.temporal_transformer"
                inner = f"{outer}.transformer_blocks.0"
                modules += [f"{outer}.{part}" for part in ("norm", "proj_in", "proj_out")]
                modules += [f"{inner}.{part}" for part in ("ff_norm", "ff.net.0.proj", "ff.net.2")]
                for index in (0, 1):
                    attention = f"{inner}.attention_blocks.{index}"
                    modules += [f"{inner}.norms.{index}", f"{attention}.to_out.0"]
                    names |= {f"{attention}.to_{part}.weight" for part in "qkv"}
    return names | {f"{module}.{leaf}" for module in modules for leaf in _BOTH}
