"""``--trust`` of the commands that load engines, and what tells the hash that it takes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.commands import told
from support.negative import write_negative
from support.trusted_engines import PICTURES, TARGET, add_engines, engine_hashes, from_elsewhere, target_hash
from v2v_export.bench import run
from v2v_export.bench.sides import StreamSide
from v2v_export.budgets import count_bundle
from v2v_export.cli import main
from v2v_runtime import trust
from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import BackendError


@pytest.fixture(autouse=True)
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    return from_elsewhere(tmp_path, monkeypatch)


class Reached(BaseException):
    """What a command was about to do."""


def test_inspect_tells_the_hash(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(bundle.root)]) == 0
    assert f"--trust {target_hash(bundle)}" in capsys.readouterr().out
    assert told(capsys, "inspect", bundle.root)["trust"] == {TARGET: target_hash(bundle)}


def test_verify_hands_it_on(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def verify_target(job: Any) -> Any:
        raise Reached(job.trust)

    recipe = SimpleNamespace(system=None, weights=None, options=None, size=None, verify=None)
    monkeypatch.setattr("v2v_export.bundle_model.recipe_of", lambda *_: recipe)
    monkeypatch.setattr("v2v_export.bundle_model.variant_options", lambda *_: None)
    monkeypatch.setattr("v2v_export.verify.parity.verify_target", verify_target)
    with pytest.raises(Reached) as caught:
        main(["verify", str(bundle.root), "--trust", "a", "--trust", "b"])
    assert caught.value.args == (("a", "b"),)


def test_bench_hands_it_on(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_bench(job: Any, progress: Any) -> Any:
        raise Reached(job.trust)

    monkeypatch.setattr(run, "run_bench", run_bench)
    with pytest.raises(Reached) as caught:
        main(["bench", str(bundle.root), "--against", "none", "--trust", "a"])
    assert caught.value.args == (("a",),)


def test_what_bench_plays_is_trusted(bundle: Bundle) -> None:
    frames = [PICTURES[0]]
    with pytest.raises(BackendError, match="V2V-E4401"):
        StreamSide("stream", bundle.root, TARGET)
    with pytest.raises(BackendError, match="V2V-E4401"):
        run.call_times(bundle, TARGET, frames, 1)
    side = StreamSide("stream", bundle.root, TARGET, [target_hash(bundle)])
    side.push(PICTURES[0])
    side.close()
    assert run.call_times(bundle, TARGET, frames, 1, [target_hash(bundle)])[1] > 0


def test_compare_tells_its_workers(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the records of engines, which workers of any version ask: the engines of both sides."""
    head = add_engines(write_negative(tmp_path / "head.v2v", PICTURES, black=True))
    hashes = engine_hashes(bundle) + engine_hashes(head)

    def compare_bundles(*_: Any) -> Any:
        raise Reached([trust.built_here(sha256) for sha256 in hashes])

    monkeypatch.setattr("v2v_export.compare.bundles.compare_bundles", compare_bundles)
    words = ["compare", str(bundle.root), str(head.root), "--target", TARGET]
    for trusted, expected in (([], [False, False]), ([target_hash(bundle)], [True, True])):
        with pytest.raises(Reached) as caught:
            main([*words, *(word for sha256 in trusted for word in ("--trust", sha256))])
        assert caught.value.args == (expected,)


def test_budgets_load_no_engine(bundle: Bundle) -> None:
    """They are counted without trust: what plays, if anything does, is the CPU target."""
    counted = count_bundle(bundle)
    assert counted[TARGET]["engine_bytes"] == len(b"native code of negative")
    assert counted["played"]["calls_per_2_periods"] == 2
    assert "played" not in count_bundle(bundle, targets={TARGET})
