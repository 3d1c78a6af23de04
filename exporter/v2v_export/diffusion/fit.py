"""Whether tensors are those of an architecture: names, shapes and kinds, then values."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from v2v_export.diffusion.configs import Architecture, build
from v2v_export.diffusion.errors import WeightsError

_SHOWN = 6

Keep = Callable[[str], bool]
"""Which tensors, by name, a load needs."""


def wanted_shapes(of: Architecture) -> Mapping[str, tuple[int, ...]]:
    """Name -> shape of every tensor of the architecture."""
    return {name: tuple(item.shape) for name, item in build(of).state_dict().items()}


def shapes_fit(of: Architecture, tensors: Mapping[str, Tensor]) -> bool:
    """Whether names and shapes are exactly the architecture's."""
    return {name: tuple(item.shape) for name, item in tensors.items()} == wanted_shapes(of)


def check_fit(of: Architecture, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Refuses tensors of other names, shapes or kinds; every fault is in one message, whose code is that of
    the first kind found.

    Raises:
        WeightsError: V2V-E6102 missing, V2V-E6103 unknown, V2V-E6104 misshapen or not float.
    """
    wanted = wanted_shapes(of)
    missing = sorted(wanted.keys() - tensors.keys())
    unknown = sorted(tensors.keys() - wanted.keys())
    wrong = [
        f"{name} is {list(tensors[name].shape)}, not {list(shape)}"
        for name, shape in wanted.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    wrong += [
        f"{name} is {str(item.dtype).removeprefix('torch.')}, not float"
        for name, item in tensors.items()
        if name in wanted and not item.is_floating_point()
    ]
    found = (
        ("V2V-E6102", "missing", _near(missing, unknown, "the file has")),
        ("V2V-E6103", "unknown", _near(unknown, missing, "meant")),
        ("V2V-E6104", "wrong", wrong),
    )
    faults = [(code, f"{len(names)} {kind}: {_listed(names)}") for code, kind, names in found if names]
    if faults:
        raise WeightsError(
            faults[0][0],
            f"{origin}: " + "; ".join(text for _, text in faults),
            f"the {len(wanted)} tensors of {of.name}, by diffusers' or transformers' names",
            "give the weights of this architecture, or name the one that they are of",
        )


def fill(of: Architecture, tensors: Mapping[str, Tensor], origin: str, keep: Keep | None = None) -> nn.Module:
    """The network with these tensors in it, not copied; those that ``keep`` leaves out stay on "meta".

    Raises:
        WeightsError: V2V-E6105, NaN or infinity.
    """
    broken = [name for name, item in tensors.items() if not bool(torch.isfinite(item).all())]
    if broken:
        raise WeightsError(
            "V2V-E6105",
            f"{origin}: {len(broken)} hold NaN or infinity: {_listed(sorted(broken))}",
            "finite numbers",
            "fetch the file again, or use the checkpoint from before training diverged",
        )
    network = build(of)
    network.load_state_dict(dict(tensors), strict=keep is None, assign=True)
    for name, buffer in network.named_buffers():
        # Not in any file: CLIP's list of positions.
        if name.endswith("position_ids"):
            owner = network.get_submodule(name.rpartition(".")[0])
            owner.register_buffer("position_ids", torch.arange(buffer.shape[-1])[None], persistent=False)
    return network.requires_grad_(False)


def _near(names: Iterable[str], others: Iterable[str], word: str) -> list[str]:
    pool = tuple(others)
    result = []
    for index, name in enumerate(names):
        close = _closest(name, pool) if index < _SHOWN else None
        result.append(f"{name} ({word} {close}?)" if close else name)
    return result


def _closest(name: str, pool: tuple[str, ...]) -> str | None:
    return next(iter(difflib.get_close_matches(name, pool, n=1, cutoff=0.85)), None)


def _listed(names: Iterable[str]) -> str:
    texts = list(names)
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
