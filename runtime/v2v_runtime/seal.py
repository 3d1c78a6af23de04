"""The checksum beside ``bundle.json`` and ``target.json``, in the format of ``sha256sum``.

A manifest lists the hash of every other file but cannot hold its own. The seal does, for its exact bytes, so
a changed byte anywhere (in a name, in provenance, in white space) is found. It guards against damage, not
against someone who writes both files anew.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from v2v_runtime.bundle_codes import BundleCode
from v2v_runtime.errors import BundleError
from v2v_runtime.manifest.strict_json import MAX_BYTES
from v2v_runtime.safe_files import read_file

MAX_SEAL = 4096


def seal_of(name: str, data: bytes) -> bytes:
    """The content of ``<stem>.sha256`` for the file ``name``."""
    return f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode("ascii")


def seal_path(path: str) -> str:
    """``bundle.json`` -> ``bundle.sha256``."""
    return path.removesuffix(".json") + ".sha256"


def read_sealed(root: Path, path: str) -> bytes:
    """The bytes of ``path`` beneath ``root``, if its seal is right.

    Raises:
        BundleError: V2V-E1004 to E1015: the files; V2V-E1016: they do not match.
    """
    data = read_file(root, path, most=MAX_BYTES)
    check_seal(path, data, read_file(root, seal_path(path), most=MAX_SEAL))
    return data


def check_seal(path: str, data: bytes, seal: bytes) -> None:
    """V2V-E1016 unless ``seal`` is the seal of ``data``."""
    expected = seal_of(path.rpartition("/")[2], data)
    if seal != expected:
        raise BundleError(
            BundleCode.SEAL,
            f"{path} is not the file that {seal_path(path)} was made for",
            expected.decode("ascii").strip(),
            "copy or unpack it again, or build it again; never edit it by hand",
        )
