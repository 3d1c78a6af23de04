"""One file for shipping: a bundle packed into a tar archive, and unpacked before use.

Equal bundles give equal bytes: members stand in one order, without times or owners. The archive is plain tar
(GNU format), so any tar can read it; ``unpack`` takes nothing but what ``pack`` writes, header by header, and
no byte before the manifest in front has said that it is there and how long it is.

``python -m v2v_runtime.archive pack BUNDLE ARCHIVE`` and ``... unpack ARCHIVE BUNDLE`` do the same.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from v2v_runtime import safe_files
from v2v_runtime.atomic import exists, fill_file, new_file, new_folder
from v2v_runtime.bundle import MANIFEST, TARGET, Bundle, check_target
from v2v_runtime.bundle_codes import BundleCode
from v2v_runtime.errors import BundleError, V2VError
from v2v_runtime.manifest.constraints import NAME
from v2v_runtime.manifest.model import FileEntry
from v2v_runtime.manifest.parse import parse_manifest, parse_target
from v2v_runtime.manifest.strict_json import MAX_BYTES
from v2v_runtime.seal import MAX_SEAL, check_seal, seal_path

_BLOCK = 512
_CHUNK = 1 << 20
_END = bytes(2 * _BLOCK)
_NAME = NAME.pattern.strip("^$")
_TARGET_SEAL = re.compile(rf"targets/{_NAME}\.{_NAME}/target\.sha256")


def pack(bundle: str | os.PathLike[str], archive: str | os.PathLike[str], *, replace: bool = False) -> Path:
    """Packs the bundle and all its targets, every file hashed on the way.

    Returns:
        The archive's path.

    Raises:
        BundleError: V2V-E1xxx: the bundle is damaged, the archive exists, or it could not be written.
        ManifestError: V2V-E2xxx: the bundle's manifest is not valid.
    """
    opened = Bundle.open(bundle, verify="sizes")
    path = Path(archive)
    if os.path.lexists(path) and not replace:
        raise exists(path)
    with new_file(path) as file:
        _add_sealed(file, opened.root, MANIFEST)
        for entry in opened.manifest.files:
            _add_entry(file, opened.root, entry.path, entry)
        for name, target in opened.targets().items():
            folder = f"targets/{name}"
            _add_sealed(file, opened.root, f"{folder}/{TARGET}")
            for entry in target.files:
                _add_entry(file, opened.root, f"{folder}/{entry.path}", entry)
        file.write(_END)
    return path


def _add_sealed(file: IO[bytes], root: Path, path: str) -> None:
    """A manifest with its seal in front."""
    seal = safe_files.read_file(root, seal_path(path), most=MAX_SEAL)
    data = safe_files.read_file(root, path, most=MAX_BYTES)
    check_seal(path, data, seal)
    for name, content in ((seal_path(path), seal), (path, data)):
        file.write(_header(name, len(content)))
        file.write(content + _padding(len(content)))


def _add_entry(file: IO[bytes], root: Path, path: str, entry: FileEntry) -> None:
    file.write(_header(path, entry.size))
    for chunk in safe_files.checked_chunks(root, path, entry.size, entry.sha256):
        file.write(chunk)
    file.write(_padding(entry.size))


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info.tobuf(tarfile.GNU_FORMAT, "ascii", "replace")


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def unpack(
    archive: str | os.PathLike[str], folder: str | os.PathLike[str], *, replace: bool = False
) -> Bundle:
    """Unpacks into a new folder, whole or not at all, with every file checked.

    Raises:
        BundleError: V2V-E1040, E1041: the archive is cut, damaged or not one of ours; V2V-E1001, E1004,
            E1050, E1051: files and folders; any other V2V-E1xxx: the bundle in it is damaged.
        ManifestError: V2V-E2xxx: the bundle's manifest is not valid.
    """
    source, path = Path(archive), Path(folder)
    try:
        file = open(source, "rb")  # noqa: SIM115 (the errors of opening it are not those of writing)
    except OSError as error:
        code = BundleCode.NOT_FOUND if isinstance(error, FileNotFoundError) else BundleCode.UNREADABLE
        raise BundleError(code, f"{source}: {error.strerror}", "a packed bundle") from None
    with file, new_folder(path, replace=replace) as temporary:
        _Reader(file, source).extract(temporary)
        Bundle.open(temporary, verify="sizes")
    return Bundle.open(path, verify="sizes")


class _Reader:
    """Takes an archive's members one after the other, each expected before it is read."""

    def __init__(self, file: IO[bytes], name: Path) -> None:
        self._file = file
        self._name = name
        self._left = os.fstat(file.fileno()).st_size

    def extract(self, root: Path) -> None:
        """Writes every member below ``root``."""
        manifest = parse_manifest(self._sealed(root, MANIFEST, self._expect(seal_path(MANIFEST))))
        for entry in manifest.files:
            self._copy(root, entry.path, entry)
        before = ""
        while member := self._member():
            folder = member[0].rpartition("/")[0]
            if not _TARGET_SEAL.fullmatch(member[0]) or folder <= before:
                raise self._unexpected(member[0], "the seal of a target, targets in order")
            before = folder
            target = parse_target(self._sealed(root, f"{folder}/{TARGET}", member[1]))
            check_target(target, manifest, folder.removeprefix("targets/"))
            for entry in target.files:
                self._copy(root, f"{folder}/{entry.path}", entry)
        if self._left:
            raise self._damaged(f"{self._left} bytes after its end")

    def _sealed(self, root: Path, path: str, seal_size: int) -> bytes:
        """A manifest, whose seal's header was the last one read."""
        seal = self._small(seal_path(path), seal_size, MAX_SEAL)
        data = self._small(path, self._expect(path), MAX_BYTES)
        check_seal(path, data, seal)
        fill_file(root / seal_path(path), [seal])
        fill_file(root / path, [data])
        return data

    def _small(self, path: str, size: int, most: int) -> bytes:
        if size > most:
            raise BundleError(BundleCode.FILE_SIZE, f"{path} has {size} bytes", f"at most {most}")
        return b"".join(self._content(size))

    def _copy(self, root: Path, path: str, entry: FileEntry) -> None:
        safe_files.check_size(path, self._expect(path), entry.size)
        _, sha256 = fill_file(root / path, self._content(entry.size))
        safe_files.check_hash(path, sha256, entry.sha256)

    def _expect(self, path: str) -> int:
        """The size of the next member, which must be ``path``."""
        member = self._member()
        if member is None or member[0] != path:
            raise self._unexpected("the end" if member is None else member[0], path)
        return member[1]

    def _member(self) -> tuple[str, int] | None:
        """Name and size of the next member; None at the end of the archive."""
        raw = self._take(_BLOCK)
        if not any(raw):
            if any(self._take(_BLOCK)):
                raise self._damaged("one empty block before its end")
            return None
        info = self._info(raw)
        name = info.name
        if info.type == tarfile.GNUTYPE_LONGNAME and info.size <= _BLOCK:
            # A name of more than 100 bytes stands in a member of its own.
            long = self._take(_BLOCK)
            name = long.rstrip(b"\0").decode("ascii", "replace")
            last = self._take(_BLOCK)
            info = self._info(last)
            raw += long + last
        # Links, devices and folders, but also any field that ``pack`` never sets.
        if raw != _header(name, info.size):
            raise BundleError(
                BundleCode.ARCHIVE_MEMBER,
                f"{self._name}: the member {name[:200]!r} is no plain file as pack writes it",
                "plain files alone, with no owner, time or link",
            )
        return name, info.size

    def _info(self, block: bytes) -> tarfile.TarInfo:
        try:
            return tarfile.TarInfo.frombuf(block, "ascii", "replace")
        except (tarfile.HeaderError, ValueError) as error:
            raise self._damaged(f"a header that is none ({error})") from None

    def _content(self, size: int) -> Iterator[bytes]:
        left = size
        while left:
            chunk = self._take(min(left, _CHUNK))
            left -= len(chunk)
            yield chunk
        if any(self._take(-size % _BLOCK)):
            raise self._damaged("padding that is not zero")

    def _take(self, size: int) -> bytes:
        if size > self._left:
            raise self._damaged("it ends too early")
        data = self._file.read(size)
        if len(data) != size:
            raise self._damaged("it became shorter while it was read")
        self._left -= size
        return data

    def _damaged(self, seen: str) -> BundleError:
        return BundleError(
            BundleCode.ARCHIVE,
            f"{self._name}: {seen}",
            "an archive that pack wrote",
            "copy or download it again",
        )

    def _unexpected(self, seen: str, expected: str) -> BundleError:
        return BundleError(BundleCode.ARCHIVE_MEMBER, f"{self._name}: {seen[:200]!r}", expected)


def main() -> int:
    """The command line; see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m v2v_runtime.archive", description="Pack a bundle into one file, or unpack it."
    )
    parser.add_argument("action", choices=("pack", "unpack"))
    parser.add_argument("source", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--replace", action="store_true", help="put the result in the place of what is there")
    options = parser.parse_args()
    try:
        (pack if options.action == "pack" else unpack)(
            options.source, options.result, replace=options.replace
        )
    except V2VError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
