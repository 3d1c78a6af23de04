"""LoRAs fused into a module's weights before export: W + scale * alpha / rank * up @ down.

Alpha of a layer is, in this order: a tensor beside its two; what the file's metadata notes of peft's
configuration for its component; for names under ``base_model.model.``, what ``adapter_config.json`` beside
the file says; the rank, but for such names, which are refused then. A configuration with ``use_rslora``
divides by the rank's square root instead.

Linear layers and convolutions (the paper's low-rank update; for a k x k convolution, a k x k one to ``rank``
channels and a 1 x 1 one back). Sums are in float32 and rounded once to the weight's own type, whatever the
number of LoRAs: the order of a list changes nothing, a LoRA that stands there twice counts twice, and one of
scale 0 leaves every bit.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from v2v_export.diffusion.checkpoint import Checkpoint
from v2v_export.diffusion.configs import Architecture, build
from v2v_export.diffusion.errors import LoraError, WeightsError
from v2v_export.diffusion.lora_metadata import Notes, read_config, read_metadata
from v2v_export.diffusion.lora_names import Component, Entry, parse, spellings
from v2v_export.diffusion.network_slots import ADAPTER_CONFIG
from v2v_export.diffusion.random_weights import random_tensors
from v2v_export.folder_layout import LORA, read_tensors
from v2v_export.hub import HUB, snapshot
from v2v_export.weights import RANDOM, TOP, Scaled

_M = TypeVar("_M", bound=nn.Module)

RANDOM_RANK = 64
"""Of a random LoRA, with alpha the same: what STD's students have."""

_RANDOM_SHARE = 0.1
"""Size of a random LoRA's update over the weights' own."""

_RANDOM_LAYERS = re.compile(
    r"\.(to_[qkv]|to_out\.0|proj_in|proj_out|ff\.net\.0\.proj|ff\.net\.2|conv1|conv2|conv_shortcut|"
    r"(down|up)samplers\.0\.conv|time_emb_proj)$"
)


@dataclass
class _Pair:
    """One layer in a file: names of its tensors, alpha's if it has one; its path and what is noted of it,
    both as in peft's configuration."""

    down: str = ""
    up: str = ""
    alpha: str = ""
    path: str = ""
    notes: Notes = field(default_factory=Notes)


@dataclass(frozen=True)
class Lora:
    """One LoRA whose layers are known, its values not yet read.

    Attributes:
        origin: how errors call it.
        scale: the recipe's factor.
    """

    origin: str
    scale: float
    _pairs: Mapping[Component, Mapping[str, _Pair]]
    _checkpoint: Checkpoint | None = None
    _seed: int = 0

    @cached_property
    def content(self) -> str:
        """What tells it from a LoRA that adds something else, whatever the file is called."""
        known = hashlib.sha256(repr((self._seed, self._pairs)).encode())
        for path in self._checkpoint.files if self._checkpoint is not None else ():
            with path.open("rb") as file:
                known.update(hashlib.file_digest(file, "sha256").digest())
        return known.hexdigest()

    def layers(self, component: Component) -> Collection[str]:
        """The layers of one component that it changes, by the names of today's modules."""
        return self._pairs.get(component, {}).keys()

    def update(self, component: Component, layer: str, like: Tensor) -> Tensor:
        """What is added to the weight of a layer, float32, in the shape of ``like``."""
        pair = self._pairs[component][layer]
        if self._checkpoint is None:
            down, up = self._drawn(component, layer, like)
            factor = 1.0
        else:
            found = self._checkpoint.tensors([pair.down, pair.up, pair.alpha])
            down, up = found[pair.down].float(), found[pair.up].float()
            notes = pair.notes
            if pair.alpha:
                notes = replace(notes, alpha=float(found[pair.alpha]), patterns={})
            factor = notes.factor(pair.path or layer, down.shape[0])
        # up may be 1 x 1 over channels; down carries the kernel.
        delta = up.flatten(1) @ down.flatten(1)
        return delta.reshape(like.shape) * (self.scale * factor)

    def _drawn(self, component: Component, layer: str, like: Tensor) -> tuple[Tensor, Tensor]:
        shapes = {
            f"{component}.{layer}.lora_down": torch.empty((RANDOM_RANK, *like.shape[1:]), device="meta"),
            f"{component}.{layer}.lora_up": torch.empty((like.shape[0], RANDOM_RANK), device="meta"),
        }
        down, up = random_tensors(shapes, self._seed).values()
        return down.float(), up.float() * _RANDOM_SHARE


def open_loras(
    given: Sequence[Scaled],
    modules: Mapping[Component, Architecture],
) -> tuple[Lora, ...]:
    """Reads the headers of LoRAs and finds the layers that they change.

    Args:
        given: files, folders, repositories of the hub (see ``find_lora``) or ``random:SEED``, with their
            scales.
        modules: what they may change, text encoders of a stream that gets its embeddings from elsewhere
            included: a LoRA for them has its effect there.

    Raises:
        LoraError: V2V-E6110 no layer fits, V2V-E6111 some do not, V2V-E6112 tensors that do not belong
            together, of another method, or not of their layer's shape, notes that cannot be read, or tensors
            as peft saves them without the configuration that says their alpha.
        WeightsError: V2V-E6101, unreadable, or no file that is clearly meant.
        RecipeError: V2V-E5008, a repository of the hub that cannot be had.
    """
    layers = {component: _layers(of) for component, of in modules.items()}
    names = _names([item.source for item in given if not item.source.startswith(RANDOM)])
    return tuple(_open(item, names.get(item.source, ""), layers) for item in given)


def fuse(tensors: Mapping[str, Tensor], component: Component, loras: Iterable[Lora]) -> dict[str, Tensor]:
    """A module's tensors with the LoRAs in them; those that no LoRA changes are shared, not copied.

    Raises:
        LoraError: V2V-E6112, an update that is not finite.
    """
    active = [lora for lora in loras if lora.scale != 0.0]
    if len(active) > 2:
        # In one order whatever the recipe's: float32 sums of more than two depend on it.
        active.sort(key=lambda lora: (lora.content, lora.scale))
    fused = dict(tensors)
    del tensors  # unless the caller holds them, each is let go as its fused one takes its place
    for layer in sorted({layer for lora in active for layer in lora.layers(component)}):
        name = f"{layer}.weight"
        if name not in fused or fused[name].is_meta:
            continue  # a part of the module that was not asked for
        weight = fused[name]
        changing = [lora for lora in active if layer in lora.layers(component)]
        total = sum((lora.update(component, layer, weight) for lora in changing), torch.zeros(()))
        result = (weight.float() + total).to(weight.dtype)
        if not bool(torch.isfinite(result).all()):
            raise LoraError(
                "V2V-E6112",
                f"{', '.join(lora.origin for lora in changing)}: {name} is not finite after fusing",
                "finite numbers",
                "use a smaller scale, or fetch the file again",
            )
        fused[name] = result
    return fused


def fuse_module(module: _M, component: Component, loras: Iterable[Lora]) -> _M:
    """Fuses LoRAs into a module of the caller's own, in place: for weights that come from several places.
    ``ModuleSource.with_loras`` does it for those of one.

    Raises:
        LoraError: V2V-E6112, as ``fuse``.
    """
    module.load_state_dict(fuse(module.state_dict(), component, loras), strict=True, assign=True)
    return module.requires_grad_(False)


def _layers(of: Architecture) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the weight, of every layer that a LoRA can change."""
    return {
        name: tuple(module.weight.shape)
        for name, module in build(of).named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }


def find_lora(value: str) -> Path:
    """The file of a LoRA: of a folder or of a repository the one that diffusers saves, or the only one of
    safetensors at its top.

    Raises:
        WeightsError: V2V-E6101, there is none, or several.
        RecipeError: V2V-E5008, a repository of the hub that cannot be had.
    """
    hub = value.startswith(HUB)
    place = snapshot(value, TOP) if hub else Path(value)
    if not (hub or place.is_dir()):
        return place
    if (place / LORA).is_file():
        return place / LORA
    taken = read_tensors(path.name for path in place.glob("*.safetensors"))
    if len(taken) != 1:
        origin = value if hub else place.name
        raise WeightsError(
            "V2V-E6101",
            f"{origin} has no {LORA}, and none or several others",
            "a LoRA's folder or repository, with that file or a single one of safetensors",
            "give the path of the file that is meant",
        )
    return place / taken[0]


def _names(sources: Iterable[str]) -> dict[str, str]:
    """Files -> how errors call each: its name, with as many of its folders as tell it from the others."""
    paths = {source: (source,) if source.startswith(HUB) else Path(source).parts for source in sources}
    depth = 1
    deepest = max(map(len, paths.values()), default=0)
    while depth < deepest and len({parts[-depth:] for parts in paths.values()}) < len(paths):
        depth += 1
    return {source: "/".join(parts[-depth:]) for source, parts in paths.items()}


def _open(given: Scaled, origin: str, layers: Mapping[Component, Mapping[str, tuple[int, ...]]]) -> Lora:
    if given.source.startswith(RANDOM):
        seed = int(given.source.removeprefix(RANDOM))
        chosen = {name: _Pair() for name in layers.get("unet", {}) if _RANDOM_LAYERS.search(name)}
        return Lora(f"LoRA {given.source}", given.scale, {"unet": chosen}, _seed=seed)
    path = find_lora(given.source)
    checkpoint = Checkpoint([path])
    header = checkpoint.header()
    entries = {key: parse(key) for key in header}
    _check_method(entries, origin)
    pairs, unmatched = _matched(entries, layers, origin)
    fitting = sum(len(item) for item in pairs.values())
    if unmatched or not fitting:
        raise _unmatched(origin, fitting, unmatched, layers)
    _check_shapes(pairs, header, layers, origin)
    _note(pairs, entries, path, origin)
    return Lora(origin, given.scale, pairs, checkpoint)


def _matched(
    entries: Mapping[str, Entry],
    layers: Mapping[Component, Mapping[str, tuple[int, ...]]],
    origin: str,
) -> tuple[dict[Component, dict[str, _Pair]], list[Entry]]:
    """The pairs by layer, and entries that fit nowhere."""
    known = {component: spellings(names, component) for component, names in layers.items()}
    pairs: dict[Component, dict[str, _Pair]] = {component: {} for component in layers}
    unmatched: dict[tuple[str, str], Entry] = {}
    for key, entry in entries.items():
        layer = known.get(entry.component, {}).get(entry.target)
        if layer is not None:
            pair = pairs[entry.component].setdefault(layer, _Pair())
            other = getattr(pair, entry.role)
            if other:
                raise LoraError(
                    "V2V-E6112",
                    f"{origin}: {other} and {key} are both the {entry.role} tensor of {layer}",
                    "each layer in one spelling",
                    "take one of them out, or give two files",
                )
            setattr(pair, entry.role, key)
        else:
            unmatched[entry.component, entry.target] = entry
    return pairs, list(unmatched.values())


def _note(
    pairs: Mapping[Component, Mapping[str, _Pair]], entries: Mapping[str, Entry], path: Path, origin: str
) -> None:
    """Writes into each pair what peft's configuration says of it.

    Raises:
        LoraError: V2V-E6112.
    """
    noted = read_metadata(path, origin)
    wrapped = any(entry.wrapped for entry in entries.values())
    config = read_config(path, origin) if wrapped else None
    for component, found in pairs.items():
        for pair in found.values():
            entry = entries[pair.down]
            pair.path = entry.path
            # A network that saved itself names no component, and neither do its notes.
            notes = noted.get(component) if entry.named else noted.get("", noted.get(component))
            if notes is None and entry.wrapped:
                notes = config
            if notes is not None:
                pair.notes = notes
            elif entry.wrapped and not pair.alpha:
                raise LoraError(
                    "V2V-E6112",
                    f"{origin}: {pair.down} as peft saves it, and nothing that says its alpha",
                    f"{ADAPTER_CONFIG} in the same folder, as peft writes it",
                    "put that file beside it; without one, alpha is not known",
                )


def _check_method(entries: Mapping[str, Entry], origin: str) -> None:
    odd = [key for key, entry in entries.items() if entry.role == "other"]
    if odd:
        raise LoraError(
            "V2V-E6112",
            f"{origin}: {len(odd)} of {len(entries)} tensors are no part of a LoRA, such as {odd[0]}",
            "plain LoRA: down, up and alpha of each layer (no DoRA, LoHa, LoKr or Tucker form)",
            "extract a plain LoRA from it, or merge it into the checkpoint",
        )


def _check_shapes(
    pairs: Mapping[Component, Mapping[str, _Pair]],
    header: Mapping[str, Tensor],
    layers: Mapping[Component, Mapping[str, tuple[int, ...]]],
    origin: str,
) -> None:
    for component, found in pairs.items():
        for layer, pair in found.items():
            shape = layers[component][layer]
            if not (pair.down and pair.up):
                raise LoraError(
                    "V2V-E6112",
                    f"{origin}: {layer} has no {'up' if pair.down else 'down'} tensor",
                    "both of each layer",
                    "fetch the file again",
                )
            if pair.alpha and header[pair.alpha].numel() != 1:
                raise LoraError(
                    "V2V-E6112",
                    f"{origin}: {pair.alpha} is {list(header[pair.alpha].shape)}",
                    "one number",
                    "fetch the file again",
                )
            down, up = header[pair.down].shape, header[pair.up].shape
            good = (
                min(len(down), len(up)) >= 2
                and down[0] == up[1] > 0
                and up[0] == shape[0]
                and math.prod(up) == up[0] * up[1]
                and math.prod(down) == down[0] * math.prod(shape[1:])
            )
            if not good:
                raise LoraError(
                    "V2V-E6112",
                    f"{origin}: {layer} of {component} is {list(shape)}, its LoRA {list(up)} x {list(down)}",
                    "[out, rank] x [rank, in], or the same over kernels, of rank 1 at least",
                    "use a LoRA that was trained for this architecture",
                )


def _unmatched(
    origin: str,
    fitting: int,
    unmatched: Sequence[Entry],
    layers: Mapping[Component, Mapping[str, tuple[int, ...]]],
) -> LoraError:
    examples = ", ".join(f"{item.component}: {item.target}" for item in unmatched[:3])
    more = f" and {len(unmatched) - 3} more" if len(unmatched) > 3 else ""
    by_part = {
        component: sum(item.component == component for item in unmatched)
        for component in sorted({item.component for item in unmatched})
    }
    parts = ", ".join(f"{count} of {component}" for component, count in by_part.items())
    if fitting == 0:
        return LoraError(
            "V2V-E6110",
            f"{origin} fits no layer of {', '.join(layers)}: it has {examples or 'no tensors'}{more}",
            "a LoRA for this architecture",
            "use one that was trained for it (SD1.5, SD2.1 and SDXL differ)",
        )
    return LoraError(
        "V2V-E6111",
        f"{origin} fits {fitting} layers, but not {len(unmatched)} others ({parts}): {examples}{more}",
        "a LoRA all of whose layers are there",
        "use one that was trained for this architecture, with all of its text encoders",
    )
