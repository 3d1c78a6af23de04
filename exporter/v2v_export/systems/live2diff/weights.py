"""``live2diff.ckpt``: the temporal modules and the depth encoder, by their published names.

The published loader strips ``module.`` from the keys, drops those that contain ``grid``, takes what fits and
accepts no key that the network lacks (method, section 1.6). The file may hold spatial weights as well; they
overwrite Stable Diffusion's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from v2v_export.diffusion.checkpoint import Checkpoint
from v2v_export.diffusion.configs import Architecture, build
from v2v_export.diffusion.fit import Keep
from v2v_export.diffusion.random_weights import random_tensors
from v2v_export.systems.live2diff.errors import WeightsError
from v2v_export.systems.live2diff.temporal import DepthCondition, TemporalParts, without_positions
from v2v_export.weights import RANDOM

_POSITIONS = ".pos_encoder.pe"
_CONDITION = "flow_conv_in."
_SHOWN = 4


class TemporalSource:
    """One weights value of the temporal modules: checked by its header at once, read when it is needed.

    Args:
        value: a file (safetensors, or the published legacy one), or ``random:SEED``.
        of: the UNet that the modules belong to.

    Raises:
        WeightsError: V2V-E6273, tensors that are missing, unknown, of other shapes or not float; V2V-E6101, a
            file that cannot be read.
    """

    def __init__(self, value: str, of: Architecture) -> None:
        self._of = of
        self._seed = int(value.removeprefix(RANDOM)) if value.startswith(RANDOM) else None
        self._file: Checkpoint | None = None
        self._names: dict[str, str] = {}
        self._spatial: tuple[str, ...] = ()
        if self._seed is None:
            self._file = Checkpoint((Path(value),))
            self._check(self._file)

    @property
    def parameters(self) -> int:
        """Numbers of the temporal modules, without the depth encoder."""
        parts = self._empty()
        return sum(
            item.numel() for half in (parts.down_blocks, parts.up_blocks) for item in half.parameters()
        )

    @property
    def condition_parameters(self) -> int:
        """Numbers of the depth encoder."""
        return sum(item.numel() for item in self._empty().flow_conv_in.parameters())

    def load(self) -> TemporalParts:
        """The modules, in the file's type, new every time."""
        parts = self._empty()
        parts.load_state_dict(self._state(dict(parts.named_parameters())), strict=True, assign=True)
        return parts.eval().requires_grad_(False)

    def load_condition(self) -> DepthCondition:
        """The depth encoder alone; nothing else is read."""
        condition = self._empty().flow_conv_in
        wanted = {f"{_CONDITION}{name}": item for name, item in condition.named_parameters()}
        state = {name.removeprefix(_CONDITION): item for name, item in self._state(wanted).items()}
        condition.load_state_dict(state, strict=True, assign=True)
        return condition.eval().requires_grad_(False)

    def _state(self, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of these names; the file's tables of positions are checked on the way."""
        if self._file is None:
            assert self._seed is not None
            state = random_tensors(wanted, self._seed)
        else:
            tables = [name for name in self._names if name.endswith(_POSITIONS)]
            state = without_positions(self._read((*wanted, *tables)))
        _refuse_infinite(state, self.origin)
        return state

    @property
    def holds_spatial(self) -> bool:
        """Whether the file has weights of the spatial UNet too."""
        return bool(self._spatial)

    def spatial(self, keep: Keep | None = None) -> dict[str, Tensor]:
        """The file's spatial weights: those whose names ``keep`` takes, or all."""
        return self._read([name for name in self._spatial if keep is None or keep(name)])

    @property
    def origin(self) -> str:
        """How errors call it."""
        return "random weights" if self._file is None else self._file.origin

    def _empty(self) -> TemporalParts:
        with torch.device("meta"):
            return TemporalParts(self._of.config)

    def _read(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Tensors by their published names without prefix."""
        if self._file is None:
            return {}
        given = {self._names[name]: name for name in names}
        return {given[name]: tensor for name, tensor in self._file.tensors(given).items()}

    def _check(self, file: Checkpoint) -> None:
        header = file.header()
        self._names = published_names(header, file.origin)
        parts, spatial = dict(self._empty().named_parameters()), dict(build(self._of).named_parameters())
        self._spatial = tuple(name for name in self._names if name in spatial)
        wanted: Mapping[str, Any] = {**spatial, **parts}
        missing = sorted(parts.keys() - self._names.keys())
        unknown = sorted(name for name in self._names if name not in wanted and not name.endswith(_POSITIONS))
        wrong = [
            f"{name} is {list(header[key].shape)}, not {list(wanted[name].shape)}"
            for name, key in self._names.items()
            if name in wanted and header[key].shape != wanted[name].shape
        ]
        whole = [
            f"{name} is {str(header[key].dtype).removeprefix('torch.')}"
            for name, key in self._names.items()
            if name in wanted and not header[key].is_floating_point()
        ]
        kinds = (("missing", missing), ("unknown", unknown), ("misshapen", wrong), ("not float", whole))
        faults = [f"{len(names)} {kind}: {_listed(names)}" for kind, names in kinds if names]
        if faults:
            raise WeightsError(
                "V2V-E6273",
                f"{file.origin}: " + "; ".join(faults),
                f"the {len(parts)} tensors of the temporal modules and of flow_conv_in for {self._of.name}",
                "give live2diff.ckpt, or weights trained from it",
            )


def published_names(names: Iterable[str], origin: str) -> dict[str, str]:
    """Name in the network -> name in the file.

    Raises:
        WeightsError: V2V-E6273, a name with and without ``module.``.
    """
    found: dict[str, str] = {}
    for key in names:
        if "grid" in key:
            continue
        name = key.removeprefix("module.")
        if name in found:
            raise WeightsError(
                "V2V-E6273", f'{origin}: {name} with and without "module."', "one of them", "drop the other"
            )
        found[name] = key
    return found


def _refuse_infinite(state: Mapping[str, Tensor], origin: str) -> None:
    broken = [name for name, item in state.items() if not bool(torch.isfinite(item).all())]
    if broken:
        raise WeightsError(
            "V2V-E6273", f"{origin}: NaN or infinity in {_listed(broken)}", "numbers", "fetch the file again"
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
