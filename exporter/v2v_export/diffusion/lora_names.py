"""The names that LoRA files give to layers, and what each of their tensors is.

Four spellings are read: kohya's (``lora_unet_down_blocks_0_...``, for SDXL also by the original blocks,
``lora_unet_input_blocks_4_1_...``), peft's (``unet.down_blocks.0....lora_A.weight``; as diffusers' networks
save themselves without ``unet.``, and as peft saves them under ``base_model.model.``), and two older ones of
diffusers (``...attn1.processor.to_q_lora.down.weight``, ``...conv1.lora.down.weight``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

Component = Literal["unet", "text_encoder", "text_encoder_2"]

Role = Literal["down", "up", "alpha", "other"]


class Entry(NamedTuple):
    """What one tensor of a file is.

    Attributes:
        component: the module that it is for.
        target: the layer, in the file's spelling.
        role: ``other``: a part of a method that is no plain LoRA.
        named: whether the file says which component; where it does not, it is the UNet.
        wrapped: whether it stands under peft's ``base_model.model.``.
        path: the module's name where peft's configuration was made: without the component's prefix, but for
            a wrapped one, whose prefix is the name of a module. Empty in kohya's spelling, which is made by
            no peft.
    """

    component: Component
    target: str
    role: Role
    named: bool = False
    wrapped: bool = False
    path: str = ""


_PREFIXES: tuple[tuple[str, Component], ...] = (
    ("lora_unet_", "unet"),
    ("lora_te1_", "text_encoder"),
    ("lora_te2_", "text_encoder_2"),
    ("lora_te_", "text_encoder"),
    ("unet.", "unet"),
    ("text_encoder_2.", "text_encoder_2"),
    ("text_encoder.", "text_encoder"),
)

_WRAPPED = "base_model.model."
_UNNAMED: Component = "unet"

_ROLES: tuple[tuple[str, Role], ...] = (
    (r"\.lora_(?:down|A)(?:\.[\w-]+)?\.weight", "down"),
    (r"\.lora_(?:up|B)(?:\.[\w-]+)?\.weight", "up"),
    (r"(?:_lora|\.lora|\.lora_linear_layer)\.down\.weight", "down"),
    (r"(?:_lora|\.lora|\.lora_linear_layer)\.up\.weight", "up"),
    (r"(?:_lora|\.lora)?\.alpha", "alpha"),
)

_OLD_TEXT = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}

_TOP = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}


def parse(key: str) -> Entry:
    """What the tensor of that name is; a name without a component's prefix is of the UNet."""
    inside = key.removeprefix(_WRAPPED)
    prefix, component = next(
        ((prefix, of) for prefix, of in _PREFIXES if inside.startswith(prefix)), ("", _UNNAMED)
    )
    rest, wrapped = inside.removeprefix(prefix), inside != key
    for pattern, role in _ROLES:
        match = re.search(f"{pattern}$", rest)
        if match is not None:
            target = rest[: match.start()]
            path = "" if prefix.endswith("_") else prefix * wrapped + target
            return Entry(component, _today(target, component), role, bool(prefix), wrapped, path)
    return Entry(component, rest, "other", bool(prefix), wrapped)


def _today(target: str, component: Component) -> str:
    """Without what diffusers' older formats put into a layer's name."""
    target = target.replace(".processor.", ".")
    if component == "unet":
        return re.sub(r"(attn\d)\.to_out$", r"\1.to_out.0", target)
    return re.sub(r"self_attn\.(to_\w+)$", lambda match: f"self_attn.{_OLD_TEXT[match[1]]}", target)


def spellings(layers: Iterable[str], component: Component) -> dict[str, str]:
    """Every spelling of every layer -> the layer's name in today's module, for one component."""
    names = list(layers)
    known: dict[str, str] = {}
    for name in names:
        forms = [name, _original(name, names)] if component == "unet" else [_published_text(name)]
        for form in forms:
            known[form] = name
            known[form.replace(".", "_")] = name
    return known


def _published_text(name: str) -> str:
    inside = name.startswith(("text_model.", "text_projection"))
    return name if inside else f"text_model.{name}"


def _original(name: str, names: list[str]) -> str:
    """A UNet's layer by the original implementation's block numbers, of two layers per level: input block 0
    is the first convolution, then come two layers and a downsampler per level; output blocks are three layers
    per level, the upsampler last in the third."""
    if name in _TOP:
        return _TOP[name]
    match = re.match(r"(down_blocks|up_blocks)\.(\d)\.(\w+)\.(\d)\.?(.*)", name)
    if match is None:
        middle = re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name)
        if middle is None:
            return name
        place = 1 if middle[1] == "attentions" else 2 * int(middle[2])
        return f"middle_block.{place}.{_inside(middle[1], middle[3])}"
    half, level, kind, index, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    if kind == "downsamplers":
        return f"input_blocks.{3 * level + 3}.0.{rest.replace('conv', 'op', 1)}"
    if kind == "upsamplers":
        transformers = any(item.startswith(f"up_blocks.{level}.attentions.") for item in names)
        return f"output_blocks.{3 * level + 2}.{2 if transformers else 1}.{rest}"
    first = 3 * level + (1 if half == "down_blocks" else 0)
    block = "input_blocks" if half == "down_blocks" else "output_blocks"
    return f"{block}.{first + index}.{1 if kind == 'attentions' else 0}.{_inside(kind, rest)}"


def _inside(kind: str, rest: str) -> str:
    return rest if kind == "attentions" else _RESNET.get(rest, rest)
