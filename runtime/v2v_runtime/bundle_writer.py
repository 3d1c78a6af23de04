"""Writes bundles and targets: hashes their files, fills in what follows, and publishes them whole."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from v2v_runtime.atomic import fill_file, new_folder
from v2v_runtime.blobs import encode_safetensors
from v2v_runtime.bundle import Bundle, check_target
from v2v_runtime.manifest.encode import readable_json, to_json
from v2v_runtime.manifest.identity import identity
from v2v_runtime.manifest.model import FileEntry, Manifest, Target
from v2v_runtime.manifest.parse import parse_manifest, parse_target
from v2v_runtime.manifest.reader import read_as
from v2v_runtime.manifest.strict_json import load_json
from v2v_runtime.seal import seal_of, seal_path

#: What a file is made of: bytes, or a file to copy.
Source = bytes | Path
_CHUNK = 1 << 22


def write_bundle(
    root: str | os.PathLike[str],
    manifest: Manifest,
    *,
    graphs: Mapping[str, Source],
    blobs: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
    replace: bool = False,
) -> Manifest:
    """Writes a bundle without targets, whole or not at all.

    Args:
        root: the bundle's folder; it must not exist unless ``replace``.
        manifest: everything but ``files`` and ``identity``, which are computed; what stands there is ignored.
        graphs: ``graphs/...`` -> ONNX file or external data.
        blobs: ``blobs/....safetensors`` -> tensor -> array.
        replace: put it in the place of what is at ``root``, targets and all.

    Returns:
        The manifest as written.

    Raises:
        ManifestError: the manifest is not valid.
        BundleError: V2V-E1050, E1051; or blobs do not hold what the manifest declares.
    """
    path = Path(root)
    _check_paths([*graphs, *(blobs or {})])
    with new_folder(path, replace=replace) as folder:
        entries = [_place(folder, name, source) for name, source in graphs.items()]
        for name, tensors in (blobs or {}).items():
            entries.append(_place(folder, name, encode_safetensors(tensors)))
        done = sealed_manifest(manifest, entries)
        _write_document(folder, "bundle.json", done)
        Bundle.open(folder, verify="sizes")
    return done


def sealed_manifest(manifest: Manifest, files: list[FileEntry]) -> Manifest:
    """``manifest`` with these files and the identity that follows, as a reader will see it.

    Raises:
        ManifestError: it is not valid.
    """
    listed = dataclasses.replace(
        manifest, files=tuple(sorted(files, key=lambda entry: entry.path)), identity="0" * 64
    )
    # Through JSON once, so that lists become tuples and the types are checked before anything is hashed.
    read = read_as(Manifest, load_json(readable_json(to_json(listed))))
    return parse_manifest(readable_json(to_json(dataclasses.replace(read, identity=identity(read)))))


def write_target(
    bundle: str | os.PathLike[str],
    target: Target,
    files: Mapping[str, Source] | None = None,
    *,
    replace: bool = True,
) -> Target:
    """Writes ``targets/<profile>.<backend>`` of the bundle at ``bundle``, whole or not at all.

    Args:
        bundle: the bundle's folder.
        target: everything but ``bundle`` and ``files``, which are computed; what stands there is ignored.
        files: path in the target's folder -> engine or other file.
        replace: put it in the place of a target of the same name.

    Returns:
        The target as written.

    Raises:
        ManifestError: the target is not valid.
        BundleError: V2V-E1021, E1022, E1050, E1051.
    """
    opened = Bundle.open(bundle, verify="sizes")
    name = f"{target.profile}.{target.backend}"
    _check_paths(list(files or {}))
    parse_target(readable_json(to_json(dataclasses.replace(target, bundle="0" * 64, files=(), engines={}))))
    with new_folder(opened.root / "targets" / name, replace=replace) as folder:
        entries = [_place(folder, path, source) for path, source in (files or {}).items()]
        listed = dataclasses.replace(
            target,
            bundle=opened.manifest.identity,
            files=tuple(sorted(entries, key=lambda entry: entry.path)),
        )
        done = parse_target(readable_json(to_json(listed)))
        check_target(done, opened.manifest, name)
        _write_document(folder, "target.json", done)
    return done


def _check_paths(paths: Sequence[str]) -> None:
    """V2V-E2021, before anything is written where a path leads."""
    for path in paths:
        read_as(FileEntry, {"path": path, "size": 0, "sha256": "0" * 64}, "files")


def _place(folder: Path, name: str, source: Source) -> FileEntry:
    """Writes one file, synced, and hashes what was written."""
    chunks = [source] if isinstance(source, bytes) else _read(source)
    size, sha256 = fill_file(folder / name, chunks)
    return FileEntry(path=name, size=size, sha256=sha256)


def _read(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _write_document(folder: Path, name: str, document: Manifest | Target) -> None:
    data = readable_json(to_json(document))
    _place(folder, name, data)
    _place(folder, seal_path(name), seal_of(name, data))
