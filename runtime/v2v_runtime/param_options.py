"""Params from a command line: ``--set NAME=VALUE``, ``--prompt TEXT``, ``--negative TEXT``.

A value is numbers, ``1.4`` or ``0.5,0.5`` (as many as the param has), ``true`` and ``false``, or a file of
tensors, ``NAME=style.safetensors``, with ``:TENSOR`` behind it where the file's tensor is not named as the
param.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from v2v_runtime.blobs import read_safetensors
from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import Param

_FILE = ".safetensors"


@dataclass(frozen=True)
class ParamOptions:
    """What to set before the first frame.

    Attributes:
        prompt, negative: texts for the bundle's text encoder; None: the bundle's own.
        assignments: ``NAME=VALUE`` each; they come after the prompt, and the last of a name counts.
    """

    prompt: str | None = None
    negative: str | None = None
    assignments: tuple[str, ...] = ()

    def values(self, bundle: Bundle, note: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
        """Name -> value for ``Stream.set_params``, which checks types and ranges.

        Args:
            note: told what was left out of a prompt that is too long.

        Raises:
            StreamError: an assignment that is none (V2V-E3090), to no param of the bundle (V2V-E3010), or
                whose value cannot be read (V2V-E3091); and what ``prompt_params`` raises.
            BundleError: a file of tensors cannot be read.
        """
        values: dict[str, Any] = {}
        if self.prompt is not None or self.negative is not None:
            values.update(prompt_values(bundle, self.prompt, self.negative, note))
        declared = bundle.manifest.program.params
        for assignment in self.assignments:
            name, equals, value = assignment.partition("=")
            if not equals or not name:
                raise StreamError(
                    "V2V-E3090",
                    f"--set {assignment}",
                    "NAME=VALUE",
                    f"such as --set {next(iter(declared), 'guidance')}=1.5",
                )
            values[name] = param_value(declared, name, value, f"--set {assignment}")
        return values


def prompt_values(
    bundle: Bundle, prompt: str | None, negative: str | None, note: Callable[[str], None]
) -> Mapping[str, Any]:
    """``prompt_params``, with ``note`` told of what was left out."""
    from v2v_runtime.prompt import CutPrompt, prompt_params

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CutPrompt)
        values = prompt_params(bundle, prompt, negative)
    # Two text encoders cut at one place mostly; once is enough.
    for text in dict.fromkeys(str(item.message) for item in caught):
        note(text)
    return values


def param_value(declared: Mapping[str, Param], name: str, text: str, option: str) -> Any:
    """A param's value from its text.

    Args:
        option: what errors call it.

    Raises:
        StreamError: V2V-E3010, E3091, as ``ParamOptions.values``.
        BundleError: a file of tensors cannot be read.
    """
    param = declared.get(name)
    if param is None:
        raise StreamError(
            "V2V-E3010",
            f"this program has no param {name!r}",
            f"one of {', '.join(declared) or 'none: it takes no params'}",
            "give params by the names that the program declares",
        )
    file, _, tensor = text.rpartition(f"{_FILE}:")
    if file or text.endswith(_FILE):
        return _from_file(file + _FILE if file else text, tensor if file else name, chosen=bool(file))
    words = text.split(",")
    try:
        numbers = [_number(word.strip(), param) for word in words]
    except ValueError:
        raise StreamError(
            "V2V-E3091",
            option,
            f"{_kind(param)} of shape {list(param.shape)}, or a file FILE.safetensors[:TENSOR]",
            "separate several by commas",
        ) from None
    size = int(np.prod(param.shape))
    if len(numbers) != size:
        raise StreamError(
            "V2V-E3091",
            f"{option}: {len(numbers)} numbers",
            f"{size}, for shape {list(param.shape)}",
            "separate them by commas" if size <= 16 else "give a safetensors file",
        )
    return np.array(numbers).reshape(param.shape)


_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def _number(word: str, param: Param) -> float | int | bool:
    """Raises ValueError for a word that is no value of the param's kind."""
    if param.dtype == "bool":
        if word.lower() not in _TRUTH:
            raise ValueError(word)
        return _TRUTH[word.lower()]
    return float(word) if param.dtype.startswith("float") else int(word)


def _kind(param: Param) -> str:
    if param.dtype == "bool":
        return "true or false"
    return "numbers" if param.dtype.startswith("float") else "whole numbers"


def _from_file(file: str, tensor: str, chosen: bool) -> Any:
    tensors = read_safetensors(file)
    if not chosen and len(tensors) == 1:
        return next(iter(tensors.values()))
    if tensor not in tensors:
        raise StreamError(
            "V2V-E3091",
            f"{file} holds no tensor {tensor!r}",
            f"one of {', '.join(list(tensors)[:8]) or 'none'}",
            f"name it behind a colon: {file}:{next(iter(tensors), 'TENSOR')}",
        )
    return tensors[tensor]
