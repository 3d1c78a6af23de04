"""Arrays in one flat file, each content once: how the PyTorch side hands its numbers to the side that plays.

Nothing is mapped and nothing is read ahead: an array is in memory from ``read`` until its reader lets it go.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Entry = Mapping[str, Any]
"""An array's ``dtype``, ``shape``, and the offsets ``at`` which its rows stand; one offset: all of it."""

DATA = "arrays.bin"
INDEX = "index.json"


class ArrayWriter:
    """Writes ``folder / arrays.bin``; ``finish`` adds the index, without which a reader sees nothing."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / INDEX).unlink(missing_ok=True)
        self.folder = folder
        self._file = (folder / DATA).open("wb")
        self._known: dict[bytes, int] = {}

    def add(self, array: Array, *, rows: bool = False) -> Entry:
        """Stores an array.

        Args:
            rows: look for each row of axis 0 by itself among what is stored: of a ring, a step changes one.
        """
        parts = list(array) if rows and array.ndim > 1 and len(array) else [array]
        at = [self._put(np.ascontiguousarray(part)) for part in parts]
        return {"dtype": array.dtype.name, "shape": list(array.shape), "at": at}

    def read(self, entry: Entry) -> Array:
        """A new array of what ``add`` stored, before the file is finished."""
        self._file.flush()
        return _read(self.folder / DATA, entry)

    def finish(self, index: Any) -> None:
        """Closes the file and writes what the entries are of, plain JSON."""
        self._file.close()
        (self.folder / INDEX).write_text(json.dumps(index), encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _put(self, part: Array) -> int:
        data = part.reshape(-1).view(np.uint8).data
        digest = hashlib.sha256(data).digest()
        if digest not in self._known:
            self._known[digest] = self._file.tell()
            self._file.write(data)
        return self._known[digest]


class ArrayReader:
    """Reads what ``ArrayWriter`` wrote and finished."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / DATA
        self.index: Any = json.loads((folder / INDEX).read_text(encoding="utf-8"))

    def read(self, entry: Entry) -> Array:
        """A new array."""
        return _read(self._path, entry)


def _read(path: Path, entry: Entry) -> Array:
    shape, dtype = tuple(entry["shape"]), np.dtype(entry["dtype"])
    count = prod(shape) // len(entry["at"])
    parts = [np.fromfile(path, dtype, count, offset=offset) for offset in entry["at"]]
    return (parts[0] if len(parts) == 1 else np.concatenate(parts)).reshape(shape)


def finished(folder: Path) -> bool:
    """Whether a writer came to its end there."""
    return (folder / INDEX).is_file()
