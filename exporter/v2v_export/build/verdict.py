"""The stage ``verify``: parity of one target, remembered as long as nothing that it rests on changes."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import v2v_export
from v2v_export.build.context import Context
from v2v_export.build.variants import TargetPlan
from v2v_export.registry import tree_digest
from v2v_export.store import key_hash
from v2v_export.verify.request import Parity, ParityRequest, Verify

_FILE = "parity.json"


def parity_key(context: Context, plan: TargetPlan, engine_keys: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the outcome of parity depends on, this machine's kind among it; plain JSON."""
    verify = context.recipe.resolved(context.store.digest)["verify"]
    return {
        "core": key_hash(context.core),
        "target": plan.name,
        "engines": {graph: key_hash(key) for graph, key in sorted(engine_keys.items())},
        "verify": verify,
        "verifier": tree_digest(Path(v2v_export.__file__).parent / "verify"),
        "runtime": v2v_export.__version__,
        "machine": [platform.node(), platform.machine()],
    }


def stored_parity(context: Context, key: Mapping[str, Any], request: ParityRequest, verify: Verify) -> Parity:
    """The outcome from the store, or from ``verify``; a miss raises and is not stored."""

    def produce(folder: Path) -> None:
        parity = verify(request)
        document = {"status": parity.status, "verification": dict(parity.verification)}
        (folder / _FILE).write_text(json.dumps(document), encoding="utf-8")

    folder = context.cached(f"verify {request.target}", "parity", key, produce)
    document = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    return Parity(document["status"], document["verification"])
