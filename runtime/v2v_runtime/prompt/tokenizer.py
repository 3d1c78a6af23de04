"""A bundle's tokenizers: text to the token ids that its text encoders read."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import BlobRef

TOKENIZER_FILE = "blobs/tokenizer.safetensors"
"""Where a bundle carries its tokenizers, one per text encoder: uint8 tensors ``tokenizer_1`` ..., each JSON
that the package ``tokenizers`` reads, and ``config``, JSON: a list with ``length`` and the ids ``start``,
``end`` and ``pad`` of each."""


_SHOWN = 60
"""Letters of what does not fit that a message shows: prompts can be pages."""


class CutPrompt(UserWarning):
    """A prompt was longer than the text encoder reads; the message says from where on it was cut."""


@dataclass(frozen=True)
class Encoded:
    """One prompt for one text encoder.

    Attributes:
        ids: int64 [length]: start, the prompt, end, padding.
        used: tokens of the prompt itself that are in ``ids``.
        dropped: the end of the text that did not fit; empty where all of it did.
    """

    ids: NDArray[np.int64]
    used: int
    dropped: str


class Tokenizer:
    """Text -> token ids, for one text encoder.

    Attributes:
        length: ids that the text encoder reads, start and end among them (77).
    """

    def __init__(self, definition: str, config: Mapping[str, int]) -> None:
        """See ``TOKENIZER_FILE`` for both.

        Raises:
            StreamError: V2V-E3080: the package ``tokenizers`` is not installed; V2V-E3082: they are not what
                they should be.
        """
        try:
            import tokenizers
        except ImportError as error:
            raise StreamError(
                "V2V-E3080",
                f"prompts need the package tokenizers: {error}",
                "",
                "pip install 'v2v-runtime[prompt]', or set prompt_tokens to ids made elsewhere",
            ) from error
        try:
            self._engine = tokenizers.Tokenizer.from_str(definition)
            self.length = int(config["length"])
            self._start, self._end, self._pad = (int(config[name]) for name in ("start", "end", "pad"))
        except Exception as error:  # the package raises Exception itself
            raise _no_tokenizer(error) from error

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> tuple[Self, ...]:
        """The tokenizers that the bundle carries, in the order of its text encoders.

        Raises:
            StreamError: the bundle carries none (V2V-E3081); E3080 and E3082 as the constructor.
            BundleError: their file is damaged.
        """
        if TOKENIZER_FILE not in {entry.path for entry in bundle.manifest.files}:
            raise StreamError(
                "V2V-E3081",
                f"the bundle {bundle.manifest.name!r} carries no tokenizer",
                "a bundle that takes prompts as tokens",
                "set its params by name; `v2v-export inspect` lists them",
            )

        def tensor(name: str) -> bytes:
            return bytes(bundle.blob(BlobRef(TOKENIZER_FILE, name)))

        return cls._from(tensor)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[np.uint8]]) -> tuple[Self, ...]:
        """From the tensors of ``TOKENIZER_FILE``; raises StreamError V2V-E3080, E3082."""
        return cls._from(lambda name: bytes(tensors[name]))

    @classmethod
    def _from(cls, tensor: Any) -> tuple[Self, ...]:
        try:
            configs = json.loads(tensor("config"))
            definitions = [tensor(f"tokenizer_{index + 1}").decode("utf-8") for index in range(len(configs))]
        except (KeyError, ValueError, TypeError) as error:
            raise _no_tokenizer(error) from error
        return tuple(cls(definition, config) for definition, config in zip(definitions, configs, strict=True))

    def encode(self, text: str, strict: bool = False) -> Encoded:
        """One prompt's ids, cut to what the encoder reads.

        Args:
            strict: refuse a prompt that is too long, in place of cutting it with a ``CutPrompt`` warning.

        Raises:
            StreamError: V2V-E3083: too long, and ``strict``.
        """
        encoding = self._engine.encode(text, add_special_tokens=False)
        room = self.length - 2
        ids, dropped = encoding.ids[:room], ""
        if len(encoding.ids) > room:
            dropped = text[encoding.offsets[room][0] :].strip()
            seen, more = f"a prompt of {len(encoding.ids)} tokens", len(encoding.ids) - room
            begins = f"from {_beginning(dropped)!r} on"
            if strict:
                raise StreamError(
                    "V2V-E3083",
                    f"{seen}, {more} too many: {begins} it does not fit",
                    f"at most {room} tokens, each a word or a part of one",
                    "shorten the prompt",
                )
            warnings.warn(f"{seen} was cut to {room}; left out is the text {begins}", CutPrompt, stacklevel=2)
        row = np.full(self.length, self._pad, np.int64)
        row[: len(ids) + 2] = [self._start, *ids, self._end]
        return Encoded(row, len(ids), dropped)

    def rows(self, texts: Sequence[str], strict: bool = False) -> NDArray[np.int64]:
        """int64 [len(texts), length].

        Raises:
            StreamError: V2V-E3083, as ``encode``.
        """
        return np.stack([self.encode(text, strict).ids for text in texts])


def _beginning(text: str) -> str:
    """The first words of a text on one line, and whether there are more."""
    words = " ".join(text.split())
    return words if len(words) <= _SHOWN else words[:_SHOWN].rsplit(" ", 1)[0] + " ..."


def _no_tokenizer(error: Exception) -> StreamError:
    return StreamError(
        "V2V-E3082",
        f"the bundle's tokenizer cannot be read: {error}",
        "the JSON of a tokenizer, and its config",
        "build the bundle again",
    )
