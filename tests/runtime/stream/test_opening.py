"""Which target a stream plays, with which backend, variant and options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance.programs import PROGRAMS
from support.bundles import make_target
from v2v_runtime.backends import BACKENDS
from v2v_runtime.backends.base import EngineSpec
from v2v_runtime.backends.onnxruntime import open_backend as open_onnxruntime
from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import write_target
from v2v_runtime.errors import BackendError, BundleError
from v2v_runtime.stream import Stream

FRAME = np.zeros((2, 4, 3), np.uint8)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return PROGRAMS["std"]().write(tmp_path / "bundle")


class Recording:
    """ONNX Runtime under another name, which notes what it was given."""

    def __init__(self) -> None:
        self.options: list[Mapping[str, Any]] = []
        self.engines: dict[str, bytes | None] = {}

    def open_backend(self, options: Mapping[str, Any]) -> Any:
        self.options.append(dict(options))
        backend, engines = open_onnxruntime({"threads": 1}), self.engines

        class Noting:
            name = "recording"
            memory = backend.memory
            close = staticmethod(backend.close)

            @staticmethod
            def load(spec: EngineSpec) -> Any:
                engines[spec.graph] = None if spec.engine is None else spec.engine()
                return backend.load(spec)

        return Noting()


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Recording:
    import sys

    made = Recording()
    monkeypatch.setitem(sys.modules, "v2v_runtime.backends.recording", made)  # type: ignore[arg-type]  # it stands in for a module
    monkeypatch.setitem(BACKENDS, "recording", "v2v_runtime.backends.recording")
    return made


def test_without_targets_the_graphs_play_on_the_cpu(bundle: Bundle) -> None:
    with Stream(bundle) as stream:
        assert (stream.session.variant, stream.session.backend.name) == ("main", "onnxruntime")
        assert len(stream.push(FRAME)) == 1


def test_the_only_target_is_played_with_its_options_and_engines(bundle: Bundle, recording: Recording) -> None:
    target = make_target(
        profile="rtx4090",
        backend="recording",
        options={"flavour": "rtx", "level": 3},
        engines={"decode": "decode.engine"},
    )
    write_target(bundle.root, target, {"decode.engine": b"an engine"})
    with Stream(Bundle.open(bundle.root), options={"level": 5, "more": 1}) as stream:
        assert len(stream.push(FRAME)) == 1
    assert recording.options == [{"flavour": "rtx", "level": 5, "more": 1}]
    assert recording.engines.pop("decode") == b"an engine"
    assert set(recording.engines.values()) == {None}


def test_among_several_the_cpu_is_the_default(bundle: Bundle, recording: Recording) -> None:
    write_target(bundle.root, make_target(profile="rtx4090", backend="recording"))
    write_target(bundle.root, make_target(profile="cpu", options={"threads": 1}))
    reopened = Bundle.open(bundle.root)
    with Stream(reopened) as stream:
        assert stream.session.backend.name == "onnxruntime"
    for name in ("rtx4090", "rtx4090.recording"):
        with Stream(reopened, name) as stream:
            assert stream.session.backend.name == "recording"
    with pytest.raises(BundleError):
        Stream(reopened, "rtx5090")


def test_another_backend_takes_the_variant_and_not_the_engines(bundle: Bundle, recording: Recording) -> None:
    target = make_target(options={"threads": 3}, engines={"decode": "decode.engine"})
    write_target(bundle.root, target, {"decode.engine": b"an engine"})
    with Stream(Bundle.open(bundle.root), backend="recording", options={"mine": 1}) as stream:
        assert stream.session.variant == "main"
    assert recording.options == [{"mine": 1}]
    assert set(recording.engines.values()) == {None}


def test_a_target_need_not_lie_in_the_bundle(bundle: Bundle) -> None:
    target = make_target(options={"threads": 1, "optimization": "none"})
    with Stream(bundle, target) as stream:
        assert len(stream.push(FRAME)) == 1


def test_an_unknown_variant_is_told(bundle: Bundle) -> None:
    with pytest.raises(BackendError, match=r"V2V-E4015[\s\S]*main"):
        Stream(bundle, variant="mian")
    with pytest.raises(BackendError, match="V2V-E4015"):
        Stream(bundle, variant="")


def test_open_takes_a_path(bundle: Bundle) -> None:
    with Stream.open(bundle.root, options={"threads": 1}) as stream:
        assert (stream.input_size, stream.output_size) == ((2, 4), (2, 4))


def test_a_failed_open_leaves_nothing_behind(bundle: Bundle, written: Callable[..., Any]) -> None:
    """The session that could not be made is not handed to the next who asks."""
    with pytest.raises(BackendError, match="V2V-E4009"):
        Stream(bundle, options={"nonsense": 1})
    (bundle.root / bundle.manifest.variants["main"].graphs["decode"]).unlink()
    for _ in range(2):
        with pytest.raises(BundleError, match="V2V-E1010"):
            Stream(bundle)
    with Stream(written("std").bundle) as stream:
        assert len(stream.push(FRAME)) == 1
