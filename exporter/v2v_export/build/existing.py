"""The bundle that stands where a build is to publish: what of it is whole, and what in it is not ours."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from v2v_runtime.atomic import TEMPORARY
from v2v_runtime.bundle import MANIFEST, TARGET, Bundle
from v2v_runtime.errors import BundleError, ManifestError
from v2v_runtime.manifest.model import Target
from v2v_runtime.seal import read_sealed, seal_path

from v2v_export.errors import BuildError

_SHOWN = 5


@dataclass(frozen=True)
class Existing:
    """A bundle whose manifest can be read.

    Attributes:
        bundle: opened.
        whole: every file of it, targets included, has the content that was hashed.
        targets: target name -> target; those with damage are not among them.
    """

    bundle: Bundle
    whole: bool
    targets: Mapping[str, Target]


def open_existing(out: Path, note: Callable[[str], None]) -> Existing | None:
    """The bundle at ``out``, each byte of it checked; None if there is none, or none that can be used.

    Args:
        note: told what is damaged.

    Raises:
        BuildError: something that is no bundle stands there (V2V-E7030), or files in the bundle's folder are
            not the bundle's (V2V-E7031): neither is ours to replace.
    """
    if not os.path.lexists(out):
        return None
    if not (out / MANIFEST).is_file():
        raise BuildError(
            "V2V-E7030",
            f"{out} exists and is no bundle",
            "a path that is free, or a bundle to replace",
            "choose another with --out, or move that away",
        )
    refuse_strangers(out)
    whole = True
    try:
        try:
            bundle = Bundle.open(out)
        except BundleError as error:
            # Damaged content: the manifest may still tell which targets can be kept.
            note(f"the bundle is damaged and is built again: {error.seen}")
            bundle, whole = Bundle.open(out, verify="sizes"), False
    except (BundleError, ManifestError) as error:
        if whole:
            note(f"the bundle cannot be read and is built again: {error.seen}")
        if lost := sorted(_folders(out / "targets")):
            note(f"its targets go with it, so build again for those that you need: {', '.join(lost)}")
        return None
    targets = {}
    for name in bundle.targets():
        try:
            target = bundle.targets()[name]
            bundle.verify_target_files(target)
            targets[name] = target
        except (BundleError, ManifestError) as error:
            note(f"target {name} is damaged and left out until it is built again: {error.seen}")
            whole = False
    return Existing(bundle, whole, targets)


def refuse_strangers(out: Path) -> None:
    """That a bundle's folder holds nothing but the bundle, so that replacing it takes away nothing else.

    Where the list of what belongs there is itself damaged, the folders that it is for count as the bundle's.

    Raises:
        BuildError: V2V-E7031.
    """
    found = sorted(_strangers(out))
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise BuildError(
            "V2V-E7031",
            f"{out} holds what is not the bundle's: {', '.join(found[:_SHOWN])}{more}",
            "the bundle's own files: building replaces the folder",
            "move them out of it, or choose another place with --out",
        )


def _strangers(out: Path) -> Iterator[str]:
    for entry in os.scandir(out):
        folder = entry.is_dir(follow_symlinks=False)
        if entry.name not in ({"graphs", "blobs", "targets"} if folder else {MANIFEST, seal_path(MANIFEST)}):
            yield entry.name
    own = _listed(out, MANIFEST)
    if own is not None:
        for name in ("graphs", "blobs"):
            yield from (path for path in _files(out, out / name) if path not in own)
    for entry in os.scandir(out / "targets") if (out / "targets").is_dir() else ():
        if not entry.is_dir(follow_symlinks=False):
            yield f"targets/{entry.name}"
        elif not entry.name.startswith(TEMPORARY):
            folder_path = Path(entry.path)
            own = _listed(folder_path, TARGET)
            if own is not None:
                own |= {TARGET, seal_path(TARGET)}
                files = _files(folder_path, folder_path)
                yield from (f"targets/{entry.name}/{path}" for path in files if path not in own)


def _listed(folder: Path, document: str) -> set[str] | None:
    """The paths that a sealed document lists; None if it is damaged."""
    try:
        files = json.loads(read_sealed(folder, document)).get("files", ())  # left out where there is none
        return {entry["path"] for entry in files}
    except (BundleError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _files(root: Path, folder: Path) -> Iterator[str]:
    """Everything under ``folder`` but folders, links among it, as paths from ``root``."""
    for where, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(where, name))]
        for name in (*names, *links):
            yield Path(where, name).relative_to(root).as_posix()


def _folders(path: Path) -> list[str]:
    if not path.is_dir():
        return []
    return [entry.name for entry in os.scandir(path) if not entry.name.startswith(TEMPORARY)]
