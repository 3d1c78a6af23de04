from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from golden_data import golden_config, golden_folder
from v2v_export.systems.shortcut_v2v.block import ShortcutBlock
from v2v_export.systems.shortcut_v2v.model import Level, ResnetGenerator, split_indices
from v2v_export.systems.shortcut_v2v.weights import load_block, load_teacher

SYSTEM = "shortcut_v2v"


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="session")
def golden_teacher() -> ResnetGenerator:
    return load_teacher(golden_folder(SYSTEM) / "teacher.safetensors")


@pytest.fixture(scope="session")
def golden_block() -> ShortcutBlock:
    return load_block(golden_folder(SYSTEM) / "shortcut.safetensors")


@pytest.fixture(scope="session")
def golden_level() -> Level:
    config = golden_config(SYSTEM)
    cut = (config["shortcut"]["skip_idx_start"], config["shortcut"]["skip_idx_end"])
    return next(level for level in Level if split_indices(level, config["teacher"]["n_blocks"]) == cut)
