"""Configurations of the depth detector DPT-Hybrid, as plain data: the real one and a tiny one for tests.

The real one is that of the published checkpoint ``Intel/dpt-hybrid-midas``: MiDaS 3.0's DPT-Hybrid 384, a BiT
ResNet-50 stem of three stages under a ViT-B/16 (Ranftl et al., 2021). What it leaves out is the default of
``transformers.DPTConfig``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DPT_HYBRID: Mapping[str, Any] = {
    "is_hybrid": True,
    "image_size": 384,
    "patch_size": 16,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "qkv_bias": True,
    "readout_type": "project",
    "backbone_out_indices": [2, 5, 8, 11],
    "backbone_featmap_shape": [1, 1024, 24, 24],
    "reassemble_factors": [1, 1, 1, 0.5],
    "neck_hidden_sizes": [256, 512, 768, 768],
    "neck_ignore_stages": [0, 1],
    "fusion_hidden_size": 256,
    "head_in_index": -1,
    "add_projection": False,
    "use_batch_norm_in_fusion_residual": False,
    "backbone_config": {
        "model_type": "bit",
        "layer_type": "bottleneck",
        "global_padding": "same",
        "embedding_dynamic_padding": True,
        "embedding_size": 64,
        "hidden_sizes": [256, 512, 1024, 2048],
        "depths": [3, 4, 9],
        "num_groups": 32,
        "hidden_act": "relu",
        "out_features": ["stage1", "stage2", "stage3"],
    },
}

TINY: Mapping[str, Any] = {
    **DPT_HYBRID,
    "image_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "backbone_out_indices": [0, 1, 2, 3],
    "backbone_featmap_shape": [1, 64, 4, 4],
    "neck_hidden_sizes": [32, 32, 32, 32],
    "fusion_hidden_size": 16,
    "backbone_config": {
        **DPT_HYBRID["backbone_config"],
        "embedding_size": 16,
        "hidden_sizes": [32, 32, 64, 64],
        "depths": [1, 1, 1],
        "num_groups": 8,
    },
}
"""The same modules, narrow: 4 x 4 patches of a 64 x 64 picture, each stage one layer deep."""

DEPTH_CONFIGS: Mapping[str, Mapping[str, Any]] = {"dpt_hybrid": DPT_HYBRID, "tiny_dpt_hybrid": TINY}
