"""A bundle on disk, opened: its manifest, graphs, blobs and targets, each checked before it is used."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from v2v_runtime import safe_files
from v2v_runtime.atomic import TEMPORARY
from v2v_runtime.blobs import MAX_HEADER, TensorEntry, parse_header, parse_safetensors
from v2v_runtime.bundle_codes import BundleCode
from v2v_runtime.errors import BundleError
from v2v_runtime.manifest.model import BlobRef, FileEntry, Manifest, Target
from v2v_runtime.manifest.parse import parse_manifest, parse_target
from v2v_runtime.manifest.reader import nearest
from v2v_runtime.manifest.validate import blob_types
from v2v_runtime.seal import read_sealed

MANIFEST = "bundle.json"
TARGET = "target.json"
_ROOT_FILES = {"bundle.json", "bundle.sha256"}
_ROOT_FOLDERS = {"graphs", "blobs", "targets"}


class Bundle:
    """An open bundle. It never changes, so threads may share it.

    Attributes:
        root: the bundle's folder, absolute, without links.
        manifest: what ``bundle.json`` says.
    """

    def __init__(self, root: Path, manifest: Manifest, stamps: Mapping[str, safe_files.Stamp]) -> None:
        """``open`` makes bundles; ``stamps`` are those of the listed files as they were checked."""
        self.root = root
        self.manifest = manifest
        self._entries = {entry.path: entry for entry in manifest.files}
        self._stamps = dict(stamps)
        self._targets = _Targets(root, manifest)
        self._last_blob: tuple[str, dict[str, NDArray[Any]]] | None = None

    @classmethod
    def open(cls, path: str | os.PathLike[str], verify: Literal["full", "sizes"] = "full") -> Bundle:
        """Opens the bundle at ``path``.

        Args:
            path: the bundle's folder.
            verify: ``full`` hashes every graph and blob; ``sizes`` trusts their content. Both check the
                manifest and its seal, that each listed file is there with its size, that nothing else is,
                that no link is in it, and that blobs hold the tensors declared. What targets hold is checked
                when they are asked for.

        Raises:
            BundleError: V2V-E1xxx.
            ManifestError: V2V-E2xxx.
        """
        if not os.fspath(path):  # Path("") would be the current folder, and is more likely an unset variable
            raise BundleError(
                BundleCode.NOT_FOUND,
                "an empty path",
                "a bundle's folder",
                "name it; '.' is the current folder",
            )
        try:
            root = _folder(Path(path))
        except OSError as error:
            raise BundleError(
                BundleCode.UNREADABLE,
                f"{path}: {error.strerror}",
                "a bundle's folder",
                "check its name and the permissions of the folders above it",
            ) from None
        manifest = parse_manifest(read_sealed(root, MANIFEST))
        _check_root(root)
        _check_targets(root)
        _check_listed(root, ("graphs", "blobs"), {entry.path for entry in manifest.files})
        stamps = {
            entry.path: safe_files.check_file(
                root, entry.path, entry.size, entry.sha256 if verify == "full" else None
            )
            for entry in manifest.files
        }
        _check_blobs(root, manifest)
        return cls(root, manifest, stamps)

    def targets(self) -> Mapping[str, Target]:
        """Target name (``<profile>.<backend>``) -> target; each is read and checked when it is asked for."""
        return self._targets

    def target(self, name: str | None = None) -> Target:
        """A target by name, by profile where that is clear, or the only one.

        Raises:
            BundleError: V2V-E1020: none, or more than one, with those present; and what the target's own
                files give (see ``targets``).
            ManifestError: ``target.json`` is not valid.
        """
        present = list(self._targets)
        if name in present:
            return self._targets[name]
        fits = [each for each in present if name is None or each.partition(".")[0] == name]
        if len(fits) == 1:
            return self._targets[fits[0]]
        # Names of folders, which may hold anything: escaped.
        listed = repr(", ".join(present))[1:-1] or "none; run v2v-export build with --gpu"
        if name is None or fits:
            asked = "no target was named" if name is None else f"{name!r} fits {len(fits)} targets"
            raise BundleError(
                BundleCode.NO_TARGET, f"{asked}; present: {listed}", "one target", "name one of them"
            )
        raise BundleError(
            BundleCode.NO_TARGET, f"there is no target {name!r}", f"one of: {listed}", nearest(name, present)
        )

    def target_path(self, target: Target) -> Path:
        """The target's folder."""
        return self.root / _target_folder(target)

    def graph_path(self, variant: str, graph: str) -> Path:
        """The ONNX file of ``graph`` in ``variant``, for backends that load by path.

        A graph may read any listed file as external data, and its backend opens them by name: those that may
        have been changed since the bundle was opened are hashed again. Engines, which are native code, go
        through ``read_target_file`` instead.

        Raises:
            KeyError: the manifest has no such name.
            BundleError: V2V-E1010 to E1015: a listed file is not what it was.
        """
        for entry in self.manifest.files:
            known = self._stamps[entry.path]
            if safe_files.check_file(self.root, entry.path, entry.size, None) != known:
                # Copied back or touched, maybe: what counts is its content.
                self._stamps[entry.path] = safe_files.check_file(
                    self.root, entry.path, entry.size, entry.sha256
                )
        return self.root / self.manifest.variants[variant].graphs[graph]

    def blob(self, ref: BlobRef) -> NDArray[Any]:
        """The tensor that ``ref`` names, read-only, as stored (``"float"`` tensors are float32).

        The bytes are hashed on the way, whatever ``verify`` was.

        Raises:
            BundleError: V2V-E1010 to E1015, E1012, E1030 to E1034.
        """
        last = self._last_blob
        if last is None or last[0] != ref.file:
            entry = self._entry(ref.file)
            data = safe_files.read_checked(self.root, entry.path, entry.size, entry.sha256)
            last = (ref.file, parse_safetensors(data, ref.file))
            self._last_blob = last
        if ref.tensor not in last[1]:
            raise _no_tensor(ref, last[1])
        return last[1][ref.tensor]

    def target_document(self, target: Target) -> bytes:
        """The bytes of the target's ``target.json``, as its seal has them.

        Raises:
            BundleError: V2V-E1004 to E1015, E1016.
        """
        return read_sealed(self.root, f"{_target_folder(target)}/{TARGET}")

    def verify_target_files(self, target: Target) -> None:
        """Hashes every file of the target.

        Raises:
            BundleError: V2V-E1010 to E1015.
        """
        folder = _target_folder(target)
        for entry in target.files:
            safe_files.check_file(self.root, f"{folder}/{entry.path}", entry.size, entry.sha256)

    def read_target_file(self, target: Target, path: str) -> bytes:
        """The bytes of one file of the target (an engine): what is returned is what was hashed.

        Raises:
            BundleError: V2V-E1010 to E1015; E1022: ``path`` is not among the target's files.
        """
        for entry in target.files:
            if entry.path == path:
                return safe_files.read_checked(
                    self.root, f"{_target_folder(target)}/{path}", entry.size, entry.sha256
                )
        raise BundleError(
            BundleCode.TARGET_MISFIT,
            f"{path!r} is not a file of target {target.profile}.{target.backend}",
            "",
            nearest(path, [entry.path for entry in target.files]),
        )

    def _entry(self, path: str) -> FileEntry:
        if path not in self._entries:
            raise BundleError(
                BundleCode.MISSING_FILE, f"the bundle lists no {path!r}", "", nearest(path, self._entries)
            )
        return self._entries[path]


class _Targets(Mapping[str, Target]):
    """The targets of a bundle, read when asked for; folders are looked up anew each time."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self._root = root
        self._manifest = manifest

    def __iter__(self) -> Iterator[str]:
        names = safe_files.names(self._root, "targets")
        yield from (name for name in names if not name.startswith(TEMPORARY))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> Target:
        if name not in list(self):
            raise KeyError(name)
        folder = f"targets/{name}"
        target = parse_target(read_sealed(self._root, f"{folder}/{TARGET}"))
        check_target(target, self._manifest, name)
        listed = {f"{folder}/{entry.path}" for entry in target.files}
        own = {f"{folder}/target.json", f"{folder}/target.sha256"}
        _check_listed(self._root, (folder,), listed | own)
        for entry in target.files:
            safe_files.check_file(self._root, f"{folder}/{entry.path}", entry.size, None)
        return target


def check_target(target: Target, manifest: Manifest, name: str) -> None:
    """That a target in the folder ``targets/<name>`` belongs to this bundle and names what it has.

    Raises:
        BundleError: V2V-E1021, E1022.
    """
    if target.bundle != manifest.identity:
        raise BundleError(
            BundleCode.OTHER_BUNDLE,
            f"target {name} was made for bundle {target.bundle[:16]}...",
            f"{manifest.identity[:16]}...",
            "build the target again for this bundle",
        )
    if name != f"{target.profile}.{target.backend}":
        raise BundleError(
            BundleCode.TARGET_MISFIT,
            f"the folder {name!r} holds the target {target.profile}.{target.backend}",
            "a folder of the target's own name",
        )
    if target.variant not in manifest.variants:
        raise BundleError(
            BundleCode.TARGET_MISFIT,
            f"target {name} plays the variant {target.variant!r}, which the bundle lacks",
            "",
            nearest(target.variant, manifest.variants),
        )
    for graph in (*target.engines, *target.engine_key, *target.counters):
        if graph not in manifest.graphs:
            raise BundleError(
                BundleCode.TARGET_MISFIT,
                f"target {name} names the graph {graph!r}, which the bundle lacks",
                "",
                nearest(graph, manifest.graphs),
            )


def _target_folder(target: Target) -> str:
    return f"targets/{target.profile}.{target.backend}"


def _folder(path: Path) -> Path:
    if path.is_file():
        with open(path, "rb") as file:
            start = file.read(512)
        if start[257:262] == b"ustar":
            folder = path.with_name(path.name.removesuffix(".tar").removesuffix(".v2v") + ".v2v")
            raise BundleError(
                BundleCode.IS_ARCHIVE,
                f"{path} is a packed bundle",
                "a folder",
                f"unpack it first: python -m v2v_runtime.archive unpack {path} {folder}",
            )
        made = f"v2v-export build {path}" if path.suffix == ".toml" else "v2v-export build"
        raise BundleError(
            BundleCode.NOT_A_BUNDLE,
            f"{path} is a file",
            "a bundle's folder",
            f"name the one that `{made}` writes",
        )
    if not path.exists():
        raise BundleError(
            BundleCode.NOT_FOUND,
            f"{path} does not exist",
            "a bundle's folder",
            "name one that is there; `v2v-export build` writes it beside the recipe",
        )
    if not (path / MANIFEST).exists():
        raise BundleError(
            BundleCode.NOT_A_BUNDLE,
            f"{path} holds no {MANIFEST}",
            "a bundle's folder",
            "name the folder that does",
        )
    return path.resolve()


def _check_root(root: Path) -> None:
    for entry in safe_files.entries(root, ""):
        if entry.name not in (_ROOT_FOLDERS if entry.is_dir() else _ROOT_FILES):
            raise _unlisted(entry.name)


def _check_targets(root: Path) -> None:
    """That ``targets/`` holds folders, without links; their lists are checked when a target is asked for."""
    for entry in safe_files.entries(root, "targets"):
        if entry.name.startswith(TEMPORARY):
            continue
        if not entry.is_dir():
            raise _unlisted(f"targets/{entry.name}")
        for _ in safe_files.listing(root, f"targets/{entry.name}"):
            pass


def _check_listed(root: Path, folders: tuple[str, ...], listed: set[str]) -> None:
    for folder in folders:
        for path in safe_files.listing(root, folder):
            if path not in listed:
                raise _unlisted(path)


def _unlisted(path: str) -> BundleError:
    return BundleError(
        BundleCode.UNLISTED,
        f"{path!r} is not listed",
        "the files that the bundle lists, and no other",
        "move it out of the bundle; caches belong in the user's cache folder",
    )


def _check_blobs(root: Path, manifest: Manifest) -> None:
    """That each blob named is in its file with the type and shape declared, from the files' headers alone."""
    headers: dict[str, dict[str, TensorEntry]] = {}
    for where, ref, dtype, shape in blob_types(manifest):
        if ref.file not in headers:
            headers[ref.file] = _header(root, ref.file)
        entry = headers[ref.file].get(ref.tensor)
        if entry is None:
            raise _no_tensor(ref, headers[ref.file])
        fits = len(shape) == len(entry.shape) and all(
            have > 0 if want is None else want == have for want, have in zip(shape, entry.shape, strict=True)
        )
        if entry.dtype != np.dtype("float32" if dtype == "float" else dtype) or not fits:
            wanted = ", ".join("at least 1" if size is None else str(size) for size in shape)
            raise BundleError(
                BundleCode.BLOB_MISMATCH,
                f"{where}: {ref.file} holds {ref.tensor!r} as {entry.dtype} {list(entry.shape)}",
                f"{'float32' if dtype == 'float' else dtype} [{wanted}]",
            )


def _header(root: Path, path: str) -> dict[str, TensorEntry]:
    start = safe_files.read_start(root, path, 8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    size = safe_files.file_size(root, path)
    return parse_header(safe_files.read_start(root, path, 8 + min(length, MAX_HEADER)), size, path)[0]


def _no_tensor(ref: BlobRef, present: Mapping[str, object]) -> BundleError:
    return BundleError(
        BundleCode.NO_TENSOR, f"{ref.file} holds no tensor {ref.tensor!r}", "", nearest(ref.tensor, present)
    )
