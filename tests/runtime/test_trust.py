"""Whose engines are loaded: what one hash stands for, what a bundle may not say, what children are told."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.bundles import make_target
from support.trusted_engines import PICTURES, TARGET, add_engines, engine_hashes, from_elsewhere, target_hash
from v2v_runtime import trust
from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import write_target
from v2v_runtime.errors import BackendError
from v2v_runtime.opening import trust_options
from v2v_runtime.player import main
from v2v_runtime.stream import Stream

ASKED = "import sys; from v2v_runtime.trust import built_here; print(*map(built_here, sys.argv[1:]))"


@pytest.fixture(autouse=True)
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    return from_elsewhere(tmp_path, monkeypatch)


def played(bundle: Bundle, *trusted: str) -> int:
    with Stream(bundle, TARGET, options={"trust": trusted}) as stream:
        return int(stream.push(PICTURES[0])[0].rgb8[0, 0, 0])


def test_an_engines_hash_and_its_targets_are_taken(bundle: Bundle) -> None:
    (engine,) = engine_hashes(bundle)
    assert (bundle.root / "targets" / TARGET / "target.sha256").read_text().split()[0] == target_hash(bundle)
    assert played(bundle, engine) == 155
    assert played(bundle, target_hash(bundle)) == 155
    assert played(bundle, "0" * 64, target_hash(bundle)) == 155
    with Stream(bundle, TARGET, options={"trust": target_hash(bundle)}) as stream:
        assert stream.selftest().passed, "one hash need not stand in a list"


def test_neither_no_word_nor_the_bundles_identity_is_trust(bundle: Bundle) -> None:
    for trusted in ((), (bundle.manifest.identity,), ("0" * 64,)):
        with pytest.raises(BackendError) as caught:
            played(bundle, *trusted)
        assert caught.value.code == "V2V-E4401"
        assert "--trust" in caught.value.fix
        assert "target.sha256" in caught.value.fix


def test_under_a_trusted_hash_no_engine_can_be_exchanged(bundle: Bundle) -> None:
    """The same bundle, by its identity, with another engine."""
    trusted, identity = target_hash(bundle), bundle.manifest.identity
    target = bundle.target(TARGET)
    write_target(bundle.root, target, {"negative.plan": b"other native code"})
    other = Bundle.open(bundle.root)
    assert other.manifest.identity == identity
    with pytest.raises(BackendError) as caught:
        played(other, trusted)
    assert caught.value.code == "V2V-E4401"
    assert hashlib.sha256(b"other native code").hexdigest() in caught.value.seen


def test_a_target_does_not_get_to_trust_its_own_engines(bundle: Bundle) -> None:
    (engine,) = engine_hashes(bundle)
    add_engines(bundle.root, options={"flavour": "rtx", "trust": [engine]})
    for trusted in ((), (engine,)):
        with pytest.raises(BackendError) as caught:
            played(Bundle.open(bundle.root), *trusted)
        assert caught.value.code == "V2V-E4009"
        assert TARGET in caught.value.seen


def test_files_that_are_no_engines_are_not_trusted(bundle: Bundle) -> None:
    target = bundle.target(TARGET)
    write_target(bundle.root, target, {"negative.plan": b"native code", "build.txt": b"a log"})
    document = (bundle.root / "targets" / TARGET / "target.json").read_bytes()
    hashed = hashlib.sha256(document).hexdigest()
    assert trust.listed_engines(document, [hashed]) == (hashlib.sha256(b"native code").hexdigest(),)
    assert trust.listed_engines(document + b" ", [hashed]) == ()


def test_a_target_without_engines_is_given_no_such_option(bundle: Bundle) -> None:
    write_target(bundle.root, make_target())
    assert trust_options(bundle, "cpu.onnxruntime", ["0" * 64]) == {}
    assert trust_options(bundle, TARGET, []) == {}
    assert trust_options(bundle, TARGET, ["0" * 64]) == {"trust": ("0" * 64,)}


def test_the_players_self_test_takes_trust_too(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(bundle.root), "--target", TARGET, "--selftest"]
    assert main(words) == 1
    assert "V2V-E4401" in capsys.readouterr().err
    assert main([*words, "--trust", target_hash(bundle)]) == 0
    assert "self-test passed" in capsys.readouterr().out
    assert main([str(bundle.root), "--target", "cpu", "--selftest", "--trust", target_hash(bundle)]) == 0


def test_children_are_told_for_as_long_as_the_block_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, trusted, other = (hashlib.sha256(word).hexdigest() for word in (b"a", b"b", b"c"))
    trust.record_built(known)

    def asked() -> str:
        command = [sys.executable, "-c", ASKED, known, trusted, other]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    with trust.trusted_by_children([trusted, "no hash", "../" + other]):
        folder = Path(os.environ["V2V_TRUST"])
        assert folder.stat().st_mode & 0o077 == 0
        assert asked() == "True True False"
    assert not folder.exists()
    assert asked() == "True False False"
    assert os.environ["V2V_TRUST"] == str(tmp_path / "trust")
    monkeypatch.delenv("V2V_TRUST")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with trust.trusted_by_children([trusted]):
        assert asked() == "False True False"
    assert "V2V_TRUST" not in os.environ
    with trust.trusted_by_children([]):
        assert "V2V_TRUST" not in os.environ
