"""Helpers for testing programs without files: a bundle that lives in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from v2v_runtime.backends.base import Array
from v2v_runtime.manifest.model import BlobRef, Manifest


@dataclass(frozen=True, eq=False)
class MemoryBundle:
    """A manifest with its tensors, and graphs as files anywhere.

    Attributes:
        manifest: taken as it is; validate it before if it may be wrong.
        blobs: file -> tensor -> array, as ``BlobRef`` names them.
        graphs: graph -> ONNX file, for backends that load files.
    """

    manifest: Manifest
    blobs: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    graphs: Mapping[str, Path] = field(default_factory=dict)

    def blob(self, ref: BlobRef) -> Array:
        return self.blobs[ref.file][ref.tensor]

    def graph_path(self, variant: str, graph: str) -> Path:
        return self.graphs.get(graph, Path(self.manifest.variants[variant].graphs[graph]))
