"""Repositories of the Hugging Face hub, as folders of its cache.

The cache is huggingface_hub's own, with its environment variables (``HF_HOME``, ``HF_HUB_OFFLINE``, tokens).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path

from v2v_export.errors import RecipeError

HUB = "hub:"
"""How a repository is written: ``hub:OWNER/NAME`` or ``hub:OWNER/NAME@REVISION``."""

_VALUE = re.compile(r"hub:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)
_TEXT = (".json", ".txt", ".model")
_TENSORS = ".safetensors"
_PIPELINE = "model_index.json"


def split_hub(value: str) -> tuple[str, str | None]:
    """``(OWNER/NAME, REVISION or None)``.

    Raises:
        RecipeError: V2V-E5006, not of that form.
    """
    match = _VALUE.fullmatch(value)
    if match is None:
        raise RecipeError(
            "V2V-E5006",
            f'weights "{value[:80]}"',
            '"hub:OWNER/NAME", or "hub:OWNER/NAME@REVISION" with a branch, tag or commit',
            "copy the repository's name from its page",
        )
    return match[1], match[2]


@cache
def snapshot(value: str, parts: tuple[str, ...] = ()) -> Path:
    """The folder that holds the repository's files, fetched into the cache if they are not there.

    Only configurations, vocabularies and safetensors are fetched, at the top and in ``parts``; where a file
    of tensors comes in half precision too (``*.fp16.safetensors``), that one alone. See ``wanted_files``.

    Raises:
        RecipeError: V2V-E5006, or V2V-E5008: neither in the cache nor to be had.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name, revision = split_hub(value)
    try:
        try:
            files = HfApi().list_repo_files(name, revision=revision)
        except (OSError, HfHubHTTPError):
            # No way to the hub: what the cache holds must do.
            return Path(snapshot_download(name, revision=revision, local_files_only=True))
        wanted = list(wanted_files(files, parts))
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except (OSError, HfHubHTTPError, LocalEntryNotFoundError, HFValidationError) as error:
        raise RecipeError(
            "V2V-E5008",
            f"{value}: {str(error).strip().splitlines()[0]}",
            "a repository that is in the cache, or that can be reached and read",
            "check its name, the network and your token; or give a folder that holds its files",
        ) from error


def wanted_files(files: Iterable[str], parts: Collection[str]) -> list[str]:
    """Those of a repository's files that a load reads, in order.

    A pipeline in folders often has the same weights once more in one file at its top: that is left there.
    """
    known = set(files)
    if _PIPELINE in known:
        known = {name for name in known if "/" in name or not name.endswith(_TENSORS)}
    return [name for name in sorted(known) if _inside(name, parts) and _is_read(name, known)]


def _inside(name: str, parts: Collection[str]) -> bool:
    folder, slash, _ = name.partition("/")
    return not slash or not parts or folder in parts


def _is_read(name: str, known: Collection[str]) -> bool:
    if name.endswith(_TEXT):
        return True
    stem = name.removesuffix(_TENSORS)
    if stem == name:
        return False
    return stem.endswith(".fp16") or f"{stem}.fp16{_TENSORS}" not in known
