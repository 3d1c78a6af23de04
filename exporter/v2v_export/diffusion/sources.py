"""Modules of a weights value: checked at once by headers and configuration, read when they are needed.

A value is a file, a folder in diffusers' layout (of a whole pipeline, or of the one module),
``hub:OWNER/NAME`` or ``random:SEED`` (``v2v_export.weights``).
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from v2v_export.diffusion.checkpoint import Checkpoint, find_files, published_name
from v2v_export.diffusion.configs import ARCHITECTURES, Architecture, Kind, architecture, parameters
from v2v_export.diffusion.errors import WeightsError
from v2v_export.diffusion.fit import Keep, check_fit, fill, shapes_fit
from v2v_export.diffusion.lora import Lora, fuse
from v2v_export.diffusion.lora_names import Component
from v2v_export.diffusion.random_weights import random_state
from v2v_export.diffusion.single_file import convert_single_file, is_single_file
from v2v_export.diffusion.unet import check_supported
from v2v_export.hub import HUB, snapshot
from v2v_export.weights import RANDOM

Part = Literal["unet", "vae", "text_encoder", "text_encoder_2"]
"""A module of a pipeline, named as its subfolder."""

_KINDS: Mapping[Part, tuple[Kind, ...]] = {
    "unet": ("unet",),
    "vae": ("kl", "tiny_vae"),
    "text_encoder": ("clip_text",),
    "text_encoder_2": ("clip_text_projection",),
}

_CLASSES: Mapping[str, Kind] = {
    "UNet2DConditionModel": "unet",
    "AutoencoderKL": "kl",
    "AutoencoderTiny": "tiny_vae",
    "CLIPTextModel": "clip_text",
    "CLIPTextModelWithProjection": "clip_text_projection",
}

_FREE = {"sample_size", "upcast_attention", "force_upcast", "scaling_factor"} | {
    f"{name}_token_id" for name in ("bos", "eos", "pad")
}
"""Entries that two checkpoints of one architecture may differ in; but a KL autoencoder's scale, which is all
that tells SD's from SDXL's."""


class ModuleSource:
    """One module of a weights value.

    Attributes:
        architecture: what it is, with the checkpoint's own configuration where it has one.
        origin: how errors call it.
    """

    def __init__(
        self, of: Architecture, origin: str, read: Callable[[Keep | None], dict[str, Tensor]]
    ) -> None:
        self.architecture, self.origin, self._read = of, origin, read

    @property
    def parameters(self) -> int:
        """How many numbers it holds; nothing is read for it."""
        return parameters(self.architecture)

    def load(self, keep: Keep | None = None) -> nn.Module:
        """A module of the caller's own in eval mode, its tensors in the type that they are stored in, without
        gradients. It is read or drawn anew each time: nothing is held that nobody uses.

        Args:
            keep: which tensors are needed, by name: the others stay on the meta device. None: all.

        Raises:
            WeightsError: V2V-E6101 or V2V-E6105, unreadable or not finite.
        """
        return fill(self.architecture, self._read(keep), self.origin, keep)

    def with_loras(self, component: Component, loras: Sequence[Lora]) -> ModuleSource:
        """The same module with LoRAs fused into it as it is read (``lora.open_loras`` finds them)."""
        if not loras:
            return self
        origin = " with ".join((self.origin, ", ".join(lora.origin for lora in loras)))
        return ModuleSource(self.architecture, origin, lambda keep: fuse(self._read(keep), component, loras))

    def with_tensors(self, origin: str, read: Callable[[Keep | None], Mapping[str, Tensor]]) -> ModuleSource:
        """The same module with some of its tensors replaced as it is read.

        Args:
            origin: how errors call what comes on top.
            read: gives the tensors that replace others of their names; types may differ.
        """
        named = f"{self.origin} with {origin}"
        return ModuleSource(self.architecture, named, lambda keep: {**self._read(keep), **read(keep)})


def open_module(value: str, part: Part, name: str | None = None) -> ModuleSource:
    """Finds a module and checks by configuration and headers that it is what it should be.

    Args:
        value: see the module's docstring.
        part: which module.
        name: its architecture (``configs.ARCHITECTURES``). None: a folder's configuration says it; a file's
            shapes do, among the known ones; random weights need one.

    Raises:
        WeightsError: V2V-E6100 to V2V-E6104, V2V-E6106, V2V-E6107.
        RecipeError: V2V-E5008, a repository of the hub that cannot be had.
    """
    wanted = None if name is None else architecture(name)
    if wanted is not None and wanted.kind not in _KINDS[part]:
        raise WeightsError(
            "V2V-E6107",
            f'architecture "{name}" for {part}',
            f"one of {', '.join(item.name for item in _known(part))}",
            "correct the name",
        )
    if value.startswith(RANDOM):
        return _random(value, part, wanted)
    if value.startswith(HUB):
        return _from_folder(snapshot(value, (part,)), value, part, wanted)
    path = Path(value)
    if path.is_dir():
        return _from_folder(path, path.name, part, wanted)
    return _from_file(path, part, wanted)


def _random(value: str, part: Part, wanted: Architecture | None) -> ModuleSource:
    if wanted is None:
        raise WeightsError(
            "V2V-E6100",
            f'"{value}" for {part} without an architecture',
            f"one of {', '.join(item.name for item in _known(part))}",
            "name the architecture in the recipe's options",
        )
    seed = int(value.removeprefix(RANDOM))
    return ModuleSource(wanted, f"{wanted.name} {value}", lambda keep: random_state(wanted, seed, keep))


def _from_folder(folder: Path, origin: str, part: Part, wanted: Architecture | None) -> ModuleSource:
    place = folder / part if (folder / part / "config.json").is_file() else folder
    if not (place / "config.json").is_file():
        raise WeightsError(
            "V2V-E6100",
            f"{origin} has neither {part}/config.json nor a config.json",
            "a folder in diffusers' layout",
            "give the pipeline's folder, or the module's own",
        )
    origin = f"{origin}/{part}" if place != folder else origin
    of = read_architecture(place / "config.json", origin, part)
    if wanted is not None:
        _check_same(of, wanted, origin)
        of = Architecture(wanted.name, of.kind, of.config)
    if of.kind == "unet":
        check_supported({**_defaults("unet"), **of.config}, origin)
    return _from_checkpoint(Checkpoint(find_files(place)), origin, of)


def _from_file(path: Path, part: Part, wanted: Architecture | None) -> ModuleSource:
    checkpoint = Checkpoint([path])
    header = checkpoint.header()
    for of in _known(part) if wanted is None else [wanted, *_known(part)]:
        if shapes_fit(of, _named(header, of)):
            if wanted is not None and of is not wanted and not shapes_fit(wanted, _named(header, wanted)):
                raise _alien(path.name, of.name, wanted.name)
            return _from_checkpoint(checkpoint, path.name, wanted or of)
    if wanted is not None:
        check_fit(wanted, _named(header, wanted), path.name)
    first = next(iter(header), "nothing")
    raise WeightsError(
        "V2V-E6106",
        f"{path.name} holds no {part} that is known here: {len(header)} tensors, such as {first}",
        f"one of {', '.join(item.name for item in _known(part))}",
        "name its architecture, or give a folder with its config.json",
    )


def _from_checkpoint(checkpoint: Checkpoint, origin: str, of: Architecture) -> ModuleSource:
    header = checkpoint.header()
    check_fit(of, _named(header, of), origin)
    single = is_single_file(header, of)

    def read(keep: Keep | None) -> dict[str, Tensor]:
        # A name in the file says which tensor it is only after conversion: what is not needed costs nothing,
        # since tensors stay in the file's pages.
        tensors = checkpoint.tensors(header)
        named = _renamed(convert_single_file(tensors, of) if single else tensors, of)
        return named if keep is None else {name: item for name, item in named.items() if keep(name)}

    return ModuleSource(of, origin, read)


def read_architecture(config: Path, origin: str, part: Part) -> Architecture:
    """What a ``config.json`` describes, restricted to what the network's class knows.

    Raises:
        WeightsError: V2V-E6101 unreadable, V2V-E6107 no class of ours.
    """
    try:
        content = json.loads(config.read_text("utf-8"))
        named = content.get("architectures") or [content.get("_class_name")]
        name = str(named[0])
    except (OSError, ValueError, RecursionError) as error:
        raise _no_config(origin, str(error)) from error
    except (AttributeError, TypeError, LookupError) as error:
        raise _no_config(origin, "no object, or its architectures no list") from error
    kind = _CLASSES.get(name)
    if kind is None or kind not in _KINDS[part]:
        raise WeightsError(
            "V2V-E6107",
            f"{origin} is a {name}",
            f"one of {', '.join(name for name, item in _CLASSES.items() if item in _KINDS[part])}",
            "give a folder of that kind",
        )
    known = _defaults(kind)
    return Architecture(origin, kind, {key: _plain(content[key]) for key in content if key in known})


def _no_config(origin: str, why: str) -> WeightsError:
    expected = "a JSON object, as diffusers and transformers write it"
    return WeightsError("V2V-E6101", f"{origin}: config.json: {why}", expected, "fetch the folder again")


@cache
def _defaults(kind: Kind) -> Mapping[str, Any]:
    """What a class of networks can be told -> what it is where a configuration does not tell it."""
    if kind.startswith("clip_text"):
        from transformers import CLIPTextConfig

        plain = CLIPTextConfig()
        return {key: getattr(plain, key) for key in (*ARCHITECTURES["clip_l"].config, "layer_norm_eps")}
    from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel

    classes = {"unet": UNet2DConditionModel, "kl": AutoencoderKL, "tiny_vae": AutoencoderTiny}
    arguments = inspect.signature(classes[kind].__init__).parameters
    return {key: item.default for key, item in arguments.items() if key != "self"}


def _check_same(of: Architecture, wanted: Architecture, origin: str) -> None:
    """Refuses a configuration that says otherwise than the architecture's."""
    differing = _differing(of, wanted)
    if of.kind == wanted.kind and not differing:
        return
    for other in ARCHITECTURES.values():
        if other.kind == of.kind and not _differing(of, other):
            raise _alien(origin, other.name, wanted.name)
    shown = ", ".join(f"{key} = {old}, not {new}" for key, (old, new) in differing.items())
    raise _alien(origin, f"a {of.kind} with {shown}", wanted.name)


def _differing(of: Architecture, wanted: Architecture) -> dict[str, tuple[Any, Any]]:
    """Entry -> what it is in a network of this configuration and in the architecture, where they differ."""
    built = {**_defaults(of.kind), **of.config}
    free = _FREE - {"scaling_factor"} if wanted.kind == "kl" else _FREE
    return {
        key: (built.get(key), value)
        for key, value in wanted.config.items()
        if key not in free and _plain(built.get(key)) != _plain(value)
    }


def _alien(origin: str, seen: str, wanted: str) -> WeightsError:
    return WeightsError(
        "V2V-E6106",
        f"{origin} is {seen}",
        wanted,
        "give weights of that architecture, or name this one in the recipe's options",
    )


def _known(part: Part) -> Iterable[Architecture]:
    return [item for item in ARCHITECTURES.values() if item.kind in _KINDS[part]]


def _named(tensors: Mapping[str, Tensor], of: Architecture) -> dict[str, Tensor]:
    """The tensors by the names of the network's class."""
    if is_single_file(tensors, of):
        try:
            return _renamed(convert_single_file(tensors, of), of)
        except (KeyError, IndexError, RuntimeError):
            return {}  # of another architecture: nothing of this one is there
    return _renamed(tensors, of)


def _renamed(tensors: Mapping[str, Tensor], of: Architecture) -> dict[str, Tensor]:
    named = {}
    for name, item in tensors.items():
        now = published_name(name, of.kind)
        if now is not None:
            # The autoencoder's attention was once written as 1x1 convolutions.
            now_linear = of.kind == "kl" and ".attentions." in now and item.ndim == 4
            named[now] = item[:, :, 0, 0] if now_linear else item
    return named


def _plain(value: Any) -> Any:
    return tuple(_plain(item) for item in value) if isinstance(value, list | tuple) else value
