"""Exact counters of a built engine: they need no GPU and no clock, so a regression test can hold them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_LAYER = re.compile(r"^Name: (?P<Name>.+?), LayerType: (?P<LayerType>\w+), ")
_TACTIC = re.compile(r", TacticName: ([^,]*), StreamId:")
_PROFILE = re.compile(r" \[profile ([0-9]+)\]")
_SUBGRAPH = re.compile(r"_myl([0-9]+)_[0-9]+$")
_BYTES = re.compile(r"Total (Activation|Weights) Memory: ([0-9]+) bytes")
_FUSED_ATTENTION = "_mha_"
_SYNCHRONISES = frozenset({"signal", "wait"})
"""Layers of these types launch nothing: they order streams that run side by side."""


@dataclass(frozen=True)
class Kernel:
    """One line of the engine's layer information: one kernel launch.

    Attributes:
        name: the layer's.
        kind: its type, such as kgen (generated), gemm, correlation (convolution), runtime_fusion.
        tactic: the implementation's name, with the hash of its code where it was generated.
        bucket: the shape profile that it belongs to.
    """

    name: str
    kind: str
    tactic: str
    bucket: int = 0


def parse_log(lines: Iterable[str]) -> list[Kernel]:
    """Reads the log's lines; those that describe no layer are left out."""
    found = []
    for line in lines:
        if layer := _LAYER.match(line):
            # The last one: a tensor may bear any name, the layer's own tactic stands after all tensors.
            tactics = _TACTIC.findall(line)
            found.append((layer["Name"], layer["LayerType"], tactics[-1] if tactics else "", line))
    return _kernels(found)


def parse_inspector(text: str) -> list[Kernel]:
    """Reads the engine inspector's JSON, the same information where the log does not have it."""
    layers = [layer for layer in json.loads(text).get("Layers", []) if isinstance(layer, dict)]
    return _kernels(
        [
            (str(layer["Name"]), str(layer["LayerType"]), str(layer.get("TacticName", "")), json.dumps(layer))
            for layer in layers
            if "Name" in layer and "LayerType" in layer
        ]
    )


def _kernels(layers: Sequence[tuple[str, str, str, str]]) -> list[Kernel]:
    """From (name, kind, tactic, whole text). The first shape profile is not marked; a later one is marked at
    the layers that touch the graph's own tensors, and the others are of the same compiled subgraph."""
    profile_of: dict[str, int] = {}
    for name, _, _, text in layers:
        if (mark := _PROFILE.search(text)) and (subgraph := _SUBGRAPH.search(name)):
            profile_of[subgraph[1]] = int(mark[1])
    kernels = []
    for name, kind, tactic, text in layers:
        mark, subgraph = _PROFILE.search(text), _SUBGRAPH.search(name)
        bucket = int(mark[1]) if mark else profile_of.get(subgraph[1], 0) if subgraph else 0
        kernels.append(Kernel(name, kind, tactic, bucket))
    return kernels


def engine_counters(
    kernels: Sequence[Kernel], memory: Iterable[str], *, engine_bytes: int, attentions: int, buckets: int
) -> dict[str, Any]:
    """The counters of one engine, as plain JSON.

    Args:
        kernels: every layer of the engine, of all shape profiles.
        memory: the log's lines about memory.
        attentions: attention layers of the network before it was built.
        buckets: shape profiles, at least 1.

    Returns:
        ``kernels``: launches of one run, at the largest bucket; ``kernels_by_bucket`` where there are
        several. ``synchronisations``: layers that order streams and launch nothing.
        ``kernels_by_type``, ``tactics``: the kernels by type and by implementation (by type
        in parentheses where the implementation is chosen on the GPU).
        ``attentions`` and ``attentions_fused``: how many there are and how many became one kernel.
        ``engine_bytes``, ``weight_bytes``, ``activation_bytes``: the plan, the weights on the device, the
        scratch of one run at the largest bucket; None where the builder does not tell.
    """
    launched = [kernel for kernel in kernels if kernel.kind not in _SYNCHRONISES]
    last = [kernel for kernel in launched if kernel.bucket == buckets - 1]
    layers = sum(kernel.bucket == buckets - 1 for kernel in kernels)
    told: dict[str, int] = {}
    for line in memory:
        for what, nbytes in _BYTES.findall(line):
            told[what] = max(told.get(what, 0), int(nbytes))
    counters: dict[str, Any] = {
        "kernels": len(last) if kernels else None,
        "synchronisations": layers - len(last) if kernels else None,
        "kernels_by_type": dict(sorted(Counter(kernel.kind for kernel in last).items())),
        "attentions": attentions,
        "attentions_fused": sum(_FUSED_ATTENTION in kernel.name + kernel.tactic for kernel in last),
        "engine_bytes": engine_bytes,
        "weight_bytes": told.get("Weights"),
        "activation_bytes": told.get("Activation"),
        "tactics": dict(sorted(Counter(kernel.tactic or f"({kernel.kind})" for kernel in last).items())),
    }
    if buckets > 1:
        by_bucket = Counter(kernel.bucket for kernel in launched)
        counters["kernels_by_bucket"] = [by_bucket[index] for index in range(buckets)]
    return counters
