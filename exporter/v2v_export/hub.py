"""Repositories of the Hugging Face hub, as folders of its cache.

The cache is huggingface_hub's own, with its environment variables (``HF_HOME``, ``HF_HUB_OFFLINE``, tokens).
The hub is asked once for each repository, and not at all once it could not be reached: then, and where it
refuses, the cache serves what it holds.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path

from v2v_export.errors import RecipeError
from v2v_export.folder_layout import read_files
from v2v_export.remarks import remark

HUB = "hub:"
"""How a repository is written: ``hub:OWNER/NAME`` or ``hub:OWNER/NAME@REVISION``."""

_VALUE = re.compile(r"hub:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)
_SHOWN = 3

_unreachable: list[Exception] = []
"""Why the hub could not be reached in this process, if it was tried."""


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

    Only what a load reads is fetched, at the top and in ``parts``: see ``folder_layout.read_files``.

    Raises:
        RecipeError: V2V-E5006, or V2V-E5008: neither in the cache nor to be had.
    """
    from huggingface_hub import snapshot_download

    listed = _listed(value)
    if isinstance(listed, Exception):
        return _cached(value, parts, (), listed)
    name, revision = split_hub(value)
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=read_files(listed, parts)))
    except Exception as error:  # noqa: BLE001 - of the HTTP library's own kinds, among others
        return _cached(value, parts, listed, error)


def forget() -> None:
    """Asks the hub again from now on, for whatever was asked before."""
    snapshot.cache_clear()
    _listed.cache_clear()
    _tell.cache_clear()
    _unreachable.clear()


@cache
def _listed(value: str) -> Sequence[str] | Exception:
    """The names of a repository's files as the hub tells them, or why it does not."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    name, revision = split_hub(value)
    if _unreachable:
        return _unreachable[0]
    try:
        # Of the requests that tell names the one that is not tried again and again.
        info = HfApi().model_info(name, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        names: tuple[str, ...] = tuple(item.rfilename for item in info.siblings)
        return names
    except (HfHubHTTPError, HFValidationError) as error:
        refused: Exception = error
        return refused
    except Exception as error:  # noqa: BLE001 - an HTTP library's own kinds, or an answer that is no hub's
        _unreachable.append(error)
        return error


def _cached(value: str, parts: Collection[str], listed: Sequence[str], asked: Exception) -> Path:
    """What the cache holds of a repository that the hub does not give.

    Args:
        listed: the names of its files, if the hub told them.
        asked: why it gives none.

    Raises:
        RecipeError: V2V-E5008, nothing, or not all of it.
    """
    from huggingface_hub import get_cached_repo_tree, snapshot_download
    from huggingface_hub.errors import (
        CachedRepoTreeNotFoundError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    name, revision = split_hub(value)
    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True, allow_patterns=[]))
    except (LocalEntryNotFoundError, ValueError) as error:
        raise _not_had(value, f"{_words(asked)}; and the cache does not hold it", asked) from error
    try:
        files: Sequence[str] = [item.path for item in get_cached_repo_tree(name, revision=folder.name)]
    except CachedRepoTreeNotFoundError:
        files = listed  # none: fetched by another version, and what is there has to be all
    missing = [name for name in read_files(files, parts) if not (folder / name).is_file()]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        lacking = f"{', '.join(missing[:_SHOWN])}{more}"
        raise _not_had(value, f"{_words(asked)}; and the cache lacks {lacking}", asked) from asked
    if not isinstance(asked, OfflineModeIsEnabled):
        _tell(f"{value}: {_words(asked)}. Its commit {folder.name} is taken from the cache.")
    return folder


@cache
def _tell(text: str) -> None:
    """Once, however many parts of a repository are asked for."""
    remark(text)


def _words(error: Exception) -> str:
    """What went wrong, in one line: the hub's own words where it answered."""
    said = getattr(error, "server_message", None) or str(error)
    return f"{type(error).__name__}: {(said.strip().splitlines() or ['no words'])[0].rstrip('.')}"


def _not_had(value: str, seen: str, why: Exception) -> RecipeError:
    from huggingface_hub.errors import GatedRepoError

    gated = "accept its terms on its page and log in with `hf auth login`"
    fix = gated if isinstance(why, GatedRepoError) else "check its name, the network and your token"
    return RecipeError(
        "V2V-E5008",
        f"{value}: {seen}",
        "a repository that is in the cache, or that can be reached and read",
        f"{fix}; or give a folder that holds its files",
    )
