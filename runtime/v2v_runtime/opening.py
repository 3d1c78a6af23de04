"""From what a caller names to a session: which target, which variant, which backend."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

from v2v_runtime.backends import open_backend
from v2v_runtime.backends.base import Backend
from v2v_runtime.errors import BackendError
from v2v_runtime.manifest.model import TARGET_SCHEMA, Manifest, Target
from v2v_runtime.session import BundleSource, Session, shared_session
from v2v_runtime.trust import listed_engines

DEFAULT_TARGET = "cpu.onnxruntime"


@runtime_checkable
class TargetSource(Protocol):
    """A bundle that holds targets."""

    def targets(self) -> Mapping[str, Target]: ...

    def target(self, name: str | None = None) -> Target: ...

    def target_document(self, target: Target) -> bytes: ...

    def read_target_file(self, target: Target, path: str) -> bytes: ...


def open_session(
    bundle: BundleSource,
    target: str | Target | None,
    backend: str | Backend | None,
    variant: str | None,
    options: Mapping[str, Any],
) -> Session:
    """The shared session that plays ``bundle`` so, attached once. The arguments are those of ``Stream``.

    Raises:
        BundleError: no such target, or its files are not what it lists.
        BackendError: the backend cannot be opened, or an engine not be loaded; no such variant (V2V-E4015);
            the target's own options say what is to be trusted (V2V-E4009).
    """
    chosen = choose_target(bundle, target)
    name = chosen.variant if variant is None else variant
    if name not in bundle.manifest.variants:
        variants = ", ".join(sorted(bundle.manifest.variants))
        raise BackendError("V2V-E4015", f"the bundle has no variant {name!r}", f"one of {variants}")
    engines = _engines(bundle, chosen) if name == chosen.variant and backend is None else {}
    if backend is not None and not isinstance(backend, str):
        session = Session(bundle, name, backend, engines)
        session.attach()
        return session
    opened = chosen.backend if backend is None else backend
    settings = {**(_own_options(chosen) if opened == chosen.backend else {}), **options}
    if engines and options.get("trust"):
        settings["trust"] = trusted_engines(bundle, chosen, options["trust"])
    key = (opened, name, bool(engines), chosen.profile, json.dumps(settings, sort_keys=True, default=repr))

    def make() -> Session:
        return Session(bundle, name, open_backend(opened, settings), engines)

    return shared_session(bundle, key, make)


def choose_target(bundle: BundleSource, target: str | Target | None) -> Target:
    """The target to play; see ``Stream`` for what None means."""
    if isinstance(target, Target):
        return target
    if not isinstance(bundle, TargetSource):
        return _portable(bundle.manifest)
    if target is None:
        present = list(bundle.targets())
        if not present:
            return _portable(bundle.manifest)
        if len(present) > 1 and DEFAULT_TARGET in present:
            target = DEFAULT_TARGET
    return bundle.target(target)


def trust_options(bundle: BundleSource, target: str | Target | None, trust: Sequence[str]) -> dict[str, Any]:
    """A stream's options where a user trusts these hashes; none for a target without engines, as there is
    nothing to trust then, and its backend has no such option."""
    return {"trust": tuple(trust)} if trust and choose_target(bundle, target).engines else {}


def trusted_engines(bundle: BundleSource, target: Target, trust: Any) -> Any:
    """What a user trusts, with the engines that the target lists where its own hash is among it.

    Args:
        trust: a hash or several, see ``v2v_runtime.trust``; anything else is the backend's to refuse.
    """
    named = [trust] if isinstance(trust, str) else trust
    if not isinstance(named, list | tuple) or not isinstance(bundle, TargetSource):
        return trust
    return (*named, *listed_engines(bundle.target_document(target), named))


def _own_options(target: Target) -> Mapping[str, Any]:
    """The target's options; a bundle does not get to say that its own engines are to be trusted."""
    if "trust" in target.options:
        raise BackendError(
            "V2V-E4009",
            f"target {target.profile}.{target.backend} says itself which engines are to be trusted",
            "no option trust in a target: that is for whoever plays it to say",
            "build the bundle here, or ask whoever built it why it says so",
        )
    return target.options


def _portable(manifest: Manifest) -> Target:
    """The ONNX files on the CPU, in float32 where the bundle has such a variant."""
    variants = manifest.variants
    variant = next((name for name, v in variants.items() if v.float == "float32"), next(iter(variants)))
    return Target(TARGET_SCHEMA, manifest.identity, "cpu", "onnxruntime", variant, "built")


def _engines(bundle: BundleSource, target: Target) -> dict[str, Callable[[], bytes]]:
    if not target.engines or not isinstance(bundle, TargetSource):
        return {}
    return {graph: partial(bundle.read_target_file, target, path) for graph, path in target.engines.items()}
