"""A lint of an engine's first 64 bytes. Their layout is undocumented, so this can only ever refuse.

It catches an engine for the wrong GPU, of another version, or cut short, before anything tries to load it. A
header that this reader does not know passes unread.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from v2v_export.errors import BuildError

SIZE = 64
_MAGIC = b"vtrt"
_BITS = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
"""Capability of each bit of the mask; bit 6 stands for later ones."""


@dataclass(frozen=True)
class Header:
    """What the header says.

    Attributes:
        nbytes: of the whole engine.
        version: of the builder, four parts.
        capabilities: for which the engine was built.
    """

    nbytes: int
    version: tuple[int, int, int, int]
    capabilities: tuple[str, ...]


def read_header(head: bytes) -> Header | None:
    """Reads it; None if it is not the known layout of TensorRT for RTX.

    Layout (little endian): magic at 0, size of the engine at 16 (uint64), version at 24 (four bytes), the
    magic again at 28, capability mask at 32 (uint64).
    """
    if len(head) < SIZE or head[:4] != _MAGIC:
        return None
    nbytes, version, again, mask = struct.unpack_from("<Q4s4sQ", head, 16)
    if again != _MAGIC:
        return None
    capabilities = tuple(name for bit, name in enumerate(_BITS) if mask >> bit & 1)
    major, minor, patch, build = version
    return Header(nbytes, (major, minor, patch, build), capabilities)


def lint(head: bytes, nbytes: int, capability: str | None, version: str) -> Header | None:
    """Checks a header against what was asked for.

    Args:
        nbytes: size of the engine.
        capability: the one it must hold; None: any.
        version: the builder's, four numbers with dots.

    Raises:
        BuildError: it says something else (V2V-E7209).
    """
    header = read_header(head)
    if header is None:
        return None
    told = ".".join(map(str, header.version))
    wrong = ""
    if header.nbytes != nbytes:
        wrong = f"its header speaks of {header.nbytes} bytes, it has {nbytes}"
    elif capability is not None and capability not in header.capabilities:
        named = ", ".join(header.capabilities) or "none"
        wrong = f"its header names compute capability {named}, not {capability}"
    elif told != version:
        wrong = f"its header names version {told}, the builder is {version}"
    if wrong:
        raise BuildError(
            "V2V-E7209",
            f"the engine just built is not what was asked for: {wrong}",
            "",
            "report this with the versions that `v2v-export doctor` prints",
        )
    return header
