"""The list of files, and everything that names one: variants, blobs, engines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from v2v_runtime.errors import ManifestError
from v2v_runtime.manifest.codes import Code
from v2v_runtime.manifest.model import BlobRef, FileEntry, Manifest, Target
from v2v_runtime.manifest.reader import nearest


def check_files(manifest: Manifest) -> None:
    """V2V-E2021, E2031, E2032: the list itself, and that every graph and blob named is in it."""
    _check_list(manifest.files)
    for i, entry in enumerate(manifest.files):
        if not entry.path.startswith(("graphs/", "blobs/")):
            raise ManifestError(
                Code.PATH, f"files[{i}].path", repr(entry.path), "a path under graphs/ or blobs/"
            )
    listed = {entry.path for entry in manifest.files}
    for name, variant in sorted(manifest.variants.items()):
        for graph, path in sorted(variant.graphs.items()):
            _check_listed(path, listed, f"variants.{name}.graphs.{graph}")
    for where, ref, _, _ in blob_types(manifest):
        _check_listed(ref.file, listed, f"{where}.file")


def blob_types(manifest: Manifest) -> Iterator[tuple[str, BlobRef, str, tuple[int | None, ...]]]:
    """Every blob that the manifest names: (JSON path, reference, dtype, shape); None is any size."""
    program = manifest.program
    for name, slot in sorted(program.slots.items()):
        if isinstance(slot.init, BlobRef):
            yield f"program.slots.{name}.init", slot.init, slot.dtype, slot.shape
    for name, param in sorted(program.params.items()):
        yield f"program.params.{name}.default", param.default, param.dtype, param.shape
    for name, const in sorted(program.consts.items()):
        yield f"program.consts.{name}.blob", const.blob, const.dtype, const.shape
    if manifest.selftest is not None:
        (source,), (result,) = program.inputs.values(), program.outputs.values()
        yield "selftest.input", manifest.selftest.input, "uint8", (None, source.height, source.width, 3)
        yield "selftest.output", manifest.selftest.output, "uint8", (None, result.height, result.width, 3)


def validate_target(target: Target) -> None:
    """V2V-E2031, E2080: what ``target.json`` can be held to without its bundle.

    Raises:
        ManifestError: the first mistake found.
    """
    _check_list(target.files)
    listed = {entry.path for entry in target.files}
    for i, entry in enumerate(target.files):
        if entry.path in ("target.json", "target.sha256"):
            raise ManifestError(
                Code.FILE_LIST, f"files[{i}].path", repr(entry.path), "every file of the folder but these two"
            )
    for graph, path in sorted(target.engines.items()):
        if path not in listed:
            raise ManifestError(
                Code.ENGINE, f"engines.{graph}", f"{path!r} is not in files", "", nearest(path, listed)
            )


def _check_list(files: Sequence[FileEntry]) -> None:
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    before = ""
    for i, entry in enumerate(files):
        where = f"files[{i}].path"
        if entry.path <= before:
            raise ManifestError(
                Code.FILE_LIST,
                where,
                f"{entry.path!r} after {before!r}",
                "paths sorted by code point, each once",
            )
        before = entry.path
        folded = entry.path.lower()
        parents = [folded[:k] for k, letter in enumerate(folded) if letter == "/"]
        clash = seen.get(folded) or folders.get(folded) or next((seen[p] for p in parents if p in seen), None)
        if clash is not None:
            raise ManifestError(
                Code.FILE_LIST,
                where,
                f"{entry.path!r} and {clash!r} are one path on some file systems",
                "paths that differ in more than case, none of them a folder of another",
            )
        seen[folded] = entry.path
        for parent in parents:
            folders.setdefault(parent, entry.path)


def _check_listed(path: str, listed: set[str], where: str) -> None:
    if path not in listed:
        raise ManifestError(
            Code.FILE_NOT_LISTED, where, f"{path!r} is not in files", "", nearest(path, listed)
        )
