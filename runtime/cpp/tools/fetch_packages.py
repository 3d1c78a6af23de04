"""Fetches what the C++ runtime and its fuzzers are built with into a folder, out of Debian's package files.

``packages.toml`` lists entries: the package files of each, with their sha256, and what is taken of them. A
file comes from ``V2V_DEBIAN_MIRROR`` or from the Debian archives that apt is configured with on this machine;
its sha256 is checked; only what is listed is unpacked, and nothing is installed.

    python fetch_packages.py FOLDER ENTRY ...

prints the folder of each entry, one a line, in the order in which they are named.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LOCK = Path(__file__).with_name("packages.toml")
_MOST = 64 * 2**20


def archives() -> list[str]:
    """Base addresses to try, in order; nothing is assumed of a machine that names none."""
    named = os.environ.get("V2V_DEBIAN_MIRROR")
    found = [named.rstrip("/")] if named else []
    if shutil.which("apt-get"):
        asked = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(SITE)"], capture_output=True, text=True, check=False
        )
        found += [
            line.rstrip("/") for line in asked.stdout.splitlines() if line.rstrip("/").endswith("/debian")
        ]
    return list(dict.fromkeys(found))


def download(path: str, sha256: str, instead: str) -> bytes:
    """The package file, hashed.

    Raises:
        SystemExit: no archive is known, or none of them has it; ``instead`` says what else would do.
    """
    tried = []
    for base in archives():
        try:
            with urllib.request.urlopen(f"{base}/{path}", timeout=60) as answer:
                data: bytes = answer.read(_MOST)
        except OSError as error:
            tried.append(str(error))
            continue
        if hashlib.sha256(data).hexdigest() == sha256:
            return data
        tried.append("the file there has another sha256")
    seen = (
        f"none of {len(tried)} Debian archives gives {path}: {'; '.join(tried)}"
        if tried
        else f"{path} is needed, and no Debian archive is known: V2V_DEBIAN_MIRROR is not set, apt has none"
    )
    raise SystemExit(
        f"{seen}\nset V2V_DEBIAN_MIRROR to the address of a Debian mirror (what holds pool/), or {instead}"
    )


def members(package: bytes) -> dict[str, bytes]:
    """The members of an ``ar`` archive, which a ``.deb`` is."""
    if not package.startswith(b"!<arch>\n"):
        raise SystemExit("this is no package file")
    found = {}
    at = 8
    while at + 60 <= len(package):
        header = package[at : at + 60]
        size = int(header[48:58])
        found[header[:16].decode("ascii").strip().rstrip("/")] = package[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
    return found


def unpack(package: bytes, folder: Path, below: str, take: Sequence[str] = (".",), into: str = ".") -> None:
    """Writes files of the package's data part that lie under ``below`` into folder ``into`` of ``folder``.

    Of them only those that ``take`` names, files or whole folders. A symbolic link is made where it leads
    down from its own folder; one that leads elsewhere is left out, as is what is neither file nor link and a
    path with ``..``.

    Raises:
        SystemExit: the package holds nothing of one of these names.
    """
    missing = set(take)
    with (
        lzma.open(io.BytesIO(members(package)["data.tar.xz"])) as data,
        tarfile.open(fileobj=data, mode="r|") as archive,
    ):
        for member in archive:
            name = member.name.removeprefix("./")
            path = name.removeprefix(f"{below}/")
            if path == name or ".." in path.split("/"):
                continue
            wanted = next((part for part in take if part == "." or f"{path}/".startswith(f"{part}/")), None)
            if wanted is None:
                continue
            target = folder / into / path
            if member.issym() and not {"", ".."} & set(member.linkname.split("/")):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(member.linkname)
            elif member.isfile():
                file = archive.extractfile(member)
                assert file is not None
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as written:
                    shutil.copyfileobj(file, written)
                target.chmod(0o755 if member.mode & 0o100 else 0o644)
            else:
                continue
            missing.discard(wanted)
    if missing:
        raise SystemExit(f"the package holds no {', '.join(sorted(missing))} under {below}")


def check_runs(command: Sequence[str], folder: Path, instead: str) -> None:
    """Refuses what cannot run here, as where the system lacks libraries of it."""
    try:
        done = subprocess.run(
            [folder / command[0], *command[1:]], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return
        seen = done.stderr.strip()
    except OSError as error:
        seen = str(error)
    raise SystemExit(f"{command[0]} does not run here: {seen}\n{instead}")


def fetch(folder: Path, name: str, entry: Mapping[str, Any]) -> Path:
    """The folder of an entry of ``packages.toml``, fetched if it is not there yet; it is whole or absent.

    Raises:
        SystemExit: it is for another kind of machine, no archive gives it, or it does not run here.
    """
    target = folder / f"{name}-{entry['version']}"
    if target.is_dir():
        return target
    machine, here = entry.get("machine"), platform.machine()
    if machine not in (None, here):
        raise SystemExit(f"{LOCK.name} lists {name} for {machine}; this is {here}\n{entry['instead']}")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        place = Path(made) / "unpacked"
        for file in entry["files"]:
            package = download(file["path"], file["sha256"], entry["instead"])
            unpack(package, place, **file["unpack"])
        if "runs" in entry:
            check_runs(entry["runs"], place, entry["instead"])
        place.replace(target)
    return target


def main(folder: Path, names: Sequence[str]) -> None:
    """Fetches the entries and prints their folders.

    Raises:
        SystemExit: an entry that is not listed, or one that cannot be fetched.
    """
    lock: dict[str, Any] = tomllib.loads(LOCK.read_text("utf-8"))
    if unknown := set(names) - set(lock):
        raise SystemExit(f"{LOCK.name} lists no {', '.join(sorted(unknown))}: choose from {', '.join(lock)}")
    for name in names:
        print(fetch(folder, name, lock[name]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
