"""A bundle with a file of tensors that is replaced once it is open, by one of the size and hash declared."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.blobs import encode_safetensors
from v2v_runtime.bundle_writer import sealed_manifest, write_bundle
from v2v_runtime.manifest.encode import readable_json, to_json
from v2v_runtime.manifest.model import Manifest
from v2v_runtime.seal import seal_of, seal_path

Tensors = Mapping[str, NDArray[Any]]
_ROOM = 2000


def write_swapped(
    root: Path,
    manifest: Manifest,
    graphs: Mapping[str, bytes],
    blobs: Mapping[str, Tensors],
    file: str,
    other: Tensors,
) -> bytes:
    """Writes a bundle whose ``file`` has the hash of one that holds ``other``; gives the bytes of that one.

    It opens where nobody hashes it. Once they stand in the file's place, only who compares what the file
    holds with the manifest notices.
    """
    own = {**blobs[file], "room": np.zeros(_ROOM, np.uint8)}
    size = len(encode_safetensors(own))
    swapped = next(
        data
        for room in range(2 * _ROOM)
        if len(data := encode_safetensors({**other, "room": np.zeros(room, np.uint8)})) == size
    )
    written = write_bundle(root, manifest, graphs=graphs, blobs={**blobs, file: own})
    digest = hashlib.sha256(swapped).hexdigest()
    entries = [dataclasses.replace(e, sha256=digest) if e.path == file else e for e in written.files]
    data = readable_json(to_json(sealed_manifest(written, entries)))
    (root / "bundle.json").write_bytes(data)
    (root / seal_path("bundle.json")).write_bytes(seal_of("bundle.json", data))
    return swapped
