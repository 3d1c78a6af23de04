"""Fetches the headers that the C++ runtime is built with into a folder: ONNX Runtime's and nlohmann's JSON.

Both come from Debian's package files, named and hashed in ``packages.toml``. A file is taken from
``V2V_DEBIAN_MIRROR`` or from the Debian archives that apt is configured with on this machine; its sha256 is
checked; only its headers are unpacked, and nothing is installed.

    python fetch_headers.py FOLDER [PACKAGE ...]

Packages are named as in ``packages.toml``; without a name all of them are fetched.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import urllib.request
from collections.abc import Sequence
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


def download(path: str, sha256: str) -> bytes:
    """The package file, hashed.

    Raises:
        SystemExit: no archive is known, or none of them has it.
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
        f"{seen}\nset V2V_DEBIAN_MIRROR to the address of a Debian mirror (what holds pool/), or give "
        "CMake ONNXRUNTIME_ROOT and NLOHMANN_JSON_ROOT, which name unpacked releases"
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


def unpack(package: bytes, below: str, folder: Path) -> None:
    """Writes the plain files under ``below`` of the package's data part into ``folder``."""
    data = lzma.decompress(members(package)["data.tar.xz"])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            path = member.name.removeprefix("./")
            if not member.isfile() or not path.startswith(f"{below}/") or ".." in path.split("/"):
                continue
            file = archive.extractfile(member)
            assert file is not None
            target = folder / path.removeprefix(f"{below}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read())


def main(folder: Path, wanted: Sequence[str] = ()) -> None:
    """Fetches the packages wanted (none named: all) whose folders are not there yet; each is whole or absent.

    Raises:
        SystemExit: a package that is not listed, or one that no archive gives.
    """
    lock: dict[str, Any] = tomllib.loads(LOCK.read_text("utf-8"))
    if unknown := set(wanted) - set(lock):
        raise SystemExit(f"{LOCK.name} lists no {', '.join(sorted(unknown))}: choose from {', '.join(lock)}")
    for name in wanted or lock:
        package = lock[name]
        target = folder / f"{name}-{package['version']}"
        if target.is_dir():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as made:
            place = Path(made) / "headers"
            unpack(download(package["path"], package["sha256"]), package["headers"], place)
            place.replace(target)
        print(f"{name} {package['version']}: headers in {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
