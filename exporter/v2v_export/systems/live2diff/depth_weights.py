"""The depth detector's weights: a folder of transformers' layout, a hub id, or random ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import DPTConfig, DPTForDepthEstimation
from v2v_export.diffusion.checkpoint import Checkpoint, find_files
from v2v_export.diffusion.random_weights import random_tensors
from v2v_export.hub import HUB, snapshot
from v2v_export.systems.live2diff.depth_configs import DEPTH_CONFIGS
from v2v_export.systems.live2diff.depth_detector import check_hybrid
from v2v_export.systems.live2diff.errors import WeightsError
from v2v_export.weights import RANDOM

_LAST = "head.head.4.weight"
"""The last convolution, whose output is the depth."""


class DepthSource:
    """One weights value of the detector: checked by its configuration and header at once, read when needed.

    Args:
        value: a folder, ``hub:OWNER/NAME`` (``hub:Intel/dpt-hybrid-midas``), or ``random:SEED``.
        architecture: of a random one, see ``DEPTH_CONFIGS``.

    Raises:
        WeightsError: V2V-E6272, a detector of another kind, a configuration that cannot be read, or tensors
            that are missing, unknown, misshapen or not float; V2V-E6101, no file of weights, or one that
            cannot be read.
    """

    def __init__(self, value: str, architecture: str) -> None:
        self._seed = int(value.removeprefix(RANDOM)) if value.startswith(RANDOM) else None
        folder: Path | None = None
        config = dict(DEPTH_CONFIGS[architecture])
        if self._seed is None:
            folder = snapshot(value, ()) if value.startswith(HUB) else Path(value)
            config = _read_config(folder)
        try:
            self._config = DPTConfig(**config)
        except (TypeError, ValueError) as error:
            raise _other(f"config.json: {error}") from error
        check_hybrid(self._config)
        self._file = Checkpoint(find_files(folder)) if folder is not None else None
        if self._file is not None:
            self._check(self._file)

    @property
    def parameters(self) -> int:
        return sum(item.numel() for item in self._empty().parameters())

    def load(self) -> DPTForDepthEstimation:
        """transformers' module in the file's type, new every time.

        Raises:
            WeightsError: V2V-E6272, tensors that hold NaN or infinity; V2V-E6101, a file that cannot be read.
        """
        model = self._empty()
        wanted = dict(model.named_parameters())
        if self._file is None:
            assert self._seed is not None
            state = random_tensors(wanted, self._seed)
            # Trained detectors see a depth nearly everywhere. Of weights of both signs the last ReLU would
            # leave a few specks, whose min-max picture is little but rounding in half precision.
            state[_LAST] = state[_LAST].abs()
        else:
            state = self._file.tensors(wanted)
        if not all(bool(torch.isfinite(item).all()) for item in state.values()):
            raise _other("tensors that hold NaN or infinity")
        model.load_state_dict(state, strict=True, assign=True)
        return model.eval().requires_grad_(False)

    def _check(self, file: Checkpoint) -> None:
        wanted, header = dict(self._empty().named_parameters()), file.header()
        # The published file keeps a pooler that depth does not use.
        used = [name for name in header if ".pooler." not in name]
        missing, unknown = sorted(wanted.keys() - set(used)), sorted(set(used) - wanted.keys())
        wrong = [name for name in used if name in wanted and header[name].shape != wanted[name].shape]
        whole = [name for name in used if not header[name].is_floating_point()]
        if missing or unknown or wrong or whole:
            raise _other(
                f"tensors missing {missing[:3]}, unknown {unknown[:3]}, misshapen {wrong[:3]}, "
                f"not float {whole[:3]}"
            )

    def _empty(self) -> Any:
        with torch.device("meta"):
            return DPTForDepthEstimation(self._config)


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config: Any = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _other(f"{folder.name}/config.json cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise _other(f"{folder.name}/config.json holds no object")
    return {name: value for name, value in config.items() if name not in ("architectures", "model_type")}


def _other(seen: str) -> WeightsError:
    return WeightsError(
        "V2V-E6272",
        f"depth detector: {seen}",
        "DPTForDepthEstimation of the hybrid kind, in transformers' layout",
        "use hub:Intel/dpt-hybrid-midas, or its folder",
    )
