"""The names of the tensors in ``Intel/dpt-hybrid-midas``, from its layout and from no module.

DPT-Hybrid (Ranftl et al., 2021, section 3) as its published conversion names it: a BiT ResNet of three stages
without a fourth, a ViT behind it, two of whose layers are read out beside two maps of the ResNet's (which are
taken as they are: places 0 and 1 of the reassembly hold nothing), four fusion blocks, a head of three
convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence

_BOTH = ("weight", "bias")


def published_names(depths: Sequence[int] = (3, 4, 9), layers: int = 12) -> set[str]:
    """Every name, for that many bottlenecks of each stage and layers of the transformer."""
    bit = "dpt.embeddings.backbone.bit"
    modules = [f"{bit}.embedder.norm", "dpt.embeddings.projection", "dpt.layernorm"]
    names = {"dpt.embeddings.cls_token", "dpt.embeddings.position_embeddings"}
    names |= {f"{bit}.embedder.convolution.weight"} | {f"neck.convs.{place}.weight" for place in range(4)}
    for stage, depth in enumerate(depths):
        for index in range(depth):
            block = f"{bit}.encoder.stages.{stage}.layers.{index}"
            names |= {f"{block}.conv{number}.weight" for number in (1, 2, 3)}
            modules += [f"{block}.norm{number}" for number in (1, 2, 3)]
        first = f"{bit}.encoder.stages.{stage}.layers.0.downsample"
        names.add(f"{first}.conv.weight")
        modules.append(f"{first}.norm")
    for index in range(layers):
        modules += [
            f"dpt.encoder.layer.{index}.{part}"
            for part in (
                "attention.attention.query",
                "attention.attention.key",
                "attention.attention.value",
                "attention.output.dense",
                "intermediate.dense",
                "output.dense",
                "layernorm_before",
                "layernorm_after",
            )
        ]
    for place in (2, 3):
        modules.append(f"neck.reassemble_stage.readout_projects.{place}.0")
        modules.append(f"neck.reassemble_stage.layers.{place}.projection")
    modules.append("neck.reassemble_stage.layers.3.resize")
    for block in range(4):
        fusion = f"neck.fusion_stage.layers.{block}"
        modules.append(f"{fusion}.projection")
        modules += [
            f"{fusion}.residual_layer{unit}.convolution{number}" for unit in (1, 2) for number in (1, 2)
        ]
    modules += [f"head.head.{place}" for place in (0, 2, 4)]
    return names | {f"{module}.{leaf}" for module in modules for leaf in _BOTH}
