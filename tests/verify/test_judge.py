"""What a target is judged by where it cannot be played here, or not to the end; and what is said of it."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.bundles import make_target
from support.toy_system import ToyModel, toy_bundle
from support.toy_verify import verify
from support.trusted_engines import TARGET, add_engines, engine_hashes, open_backend, target_hash
from torch import Tensor, nn
from v2v_export.errors import BuildError, VerdictError
from v2v_export.recipe import VerifyOptions
from v2v_export.system import GraphOptions, GraphSpec
from v2v_export.verify import build_parity, parity
from v2v_export.verify import judge as judging
from v2v_export.verify.judge import Judge, judge
from v2v_export.verify.request import ParityRequest
from v2v_runtime.atomic import new_file
from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import write_bundle, write_target
from v2v_runtime.errors import BackendError
from v2v_runtime.stream import Stream


def test_engines_of_another_backend_are_played_where_they_can_be(
    sound: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a GPU's target on that GPU: the graphs are judged elsewhere, the engines play the steps too."""
    judged = dataclasses.replace(sound.target("cpu"), options={"provider": "cpu", "optimization": "none"})
    monkeypatch.setattr(Judge, "_judged_as", lambda self: judged)
    report = verify(sound, ToyModel(), full=True)
    assert report.miss is None
    assert len(report.on_target) == 64
    largest = report.as_dict()["on_target"]
    assert {"out", "memory", "shade", "past"} <= set(largest)
    assert "out_float" not in largest


def test_a_picture_without_a_tap_is_told(sound: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    class Untapped(ToyModel):
        def graphs(self, options: GraphOptions) -> list[GraphSpec]:
            return [
                dataclasses.replace(spec, taps={}, module=partial(_last, spec.make)) if spec.taps else spec
                for spec in super().graphs(options)
            ]

    report = verify(sound, Untapped())
    assert report.miss is None
    assert any("graph picture: it has no tap" in text for text in report.not_verified)
    assert "out_float" not in report.as_dict()["teacher_forced"]


def _last(make: Callable[[], nn.Module]) -> nn.Module:
    return _Last(make())


class _Last(nn.Module):
    """A module without its last answer, the tap."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.module(*inputs)[:-1])


def test_engines_for_another_machine_are_not_called_verified(tmp_path: Path) -> None:
    """A TensorRT target: its graphs run through ONNX Runtime, its engines nowhere, and the report says so."""
    target = make_target(
        profile="rtx4090", backend="tensorrt", status="built", options={"flavour": "rtx"}, engines={}
    )
    bundle = toy_bundle(tmp_path / "toy.v2v", ToyModel(), GraphOptions("float16"), target)
    write_target(
        bundle.root,
        dataclasses.replace(target, engines={"picture": "picture.engine", "refresh": "refresh.engine"}),
        {"picture.engine": b"not for this machine", "refresh.engine": b"nor this"},
    )
    report = verify(bundle, ToyModel(), float_type="float16", target="rtx4090.tensorrt")
    assert report.miss is None
    assert report.selftest is None
    assert "ONNX Runtime's CPU provider" in report.played
    assert any("built, not run here" in text for text in report.not_verified)
    assert report.verdict == "not run here"
    told = report.as_dict()
    assert (told["verdict"], told["passed"]) == ("not run here", False)


def refusing(code: str) -> Callable[..., Stream]:
    """A stream that cannot be opened where the target itself is to be played, and can be elsewhere."""

    def opened(*arguments: Any, **options: Any) -> Stream:
        if len(arguments) == 2 and "trace" not in options:
            raise BackendError(code, "injected", "", "")
        return Stream(*arguments, **options)

    return opened


@pytest.mark.parametrize(
    "code",
    ["V2V-E4002", "V2V-E4004", "V2V-E4011", "V2V-E4401", "V2V-E4402", "V2V-E4403", "V2V-E4404"],
)
def test_what_a_machine_lacks_is_no_miss(sound: Bundle, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(judging, "Stream", refusing(code))
    monkeypatch.setattr(Judge, "_tapped_stream", lambda self: True)
    report = verify(sound, ToyModel())
    assert report.miss is None
    assert report.verdict == "not run here"
    assert any("not run here (injected" in text for text in report.not_verified)


@pytest.mark.parametrize("code", ["V2V-E4005", "V2V-E4009", "V2V-E4013", "V2V-E4405", "V2V-E4999"])
def test_any_other_refusal_to_play_is_a_miss(
    sound: Bundle, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(judging, "Stream", refusing(code))
    monkeypatch.setattr(Judge, "_tapped_stream", lambda self: True)
    report = verify(sound, ToyModel())
    assert report.verdict == "differs"
    assert report.miss is not None
    error = report.miss.error("t")
    assert error.code == "V2V-E8006"
    assert code in error.seen


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """With a target whose engines were built on another machine, and a GPU that would play them."""
    monkeypatch.setenv("V2V_TRUST", str(tmp_path / "trust"))
    monkeypatch.setattr("v2v_runtime.opening.open_backend", open_backend)
    return add_engines(toy_bundle(tmp_path / "toy.v2v", ToyModel()).root)


def test_engines_from_elsewhere_are_not_run_until_they_are_trusted(elsewhere: Bundle) -> None:
    report = verify(elsewhere, ToyModel(), target=TARGET)
    assert report.miss is None
    assert (report.verdict, report.ran, report.selftest) == ("not run here", False, None)
    (told,) = [text for text in report.not_verified if "the engines" in text]
    assert "not run here" in told
    assert any(sha256 in told for sha256 in engine_hashes(elsewhere))
    assert "--trust" in told
    assert "target.sha256" in told


@pytest.mark.parametrize(
    "trusted", [engine_hashes, lambda bundle: [target_hash(bundle)]], ids=["each", "all"]
)
def test_engines_that_are_trusted_are_played(
    elsewhere: Bundle, trusted: Callable[[Bundle], list[str]]
) -> None:
    report = verify(elsewhere, ToyModel(), target=TARGET, trust=tuple(trusted(elsewhere)))
    assert report.verdict == "passed"
    assert report.selftest is not None
    assert report.on_target
    assert not any("the engines" in text for text in report.not_verified)


def test_a_target_that_trusts_itself_is_a_miss(elsewhere: Bundle) -> None:
    add_engines(elsewhere.root, {"flavour": "rtx", "trust": engine_hashes(elsewhere)})
    report = verify(Bundle.open(elsewhere.root), ToyModel(), target=TARGET)
    assert report.verdict == "differs"
    assert report.miss is not None
    assert "V2V-E4009" in report.miss.what


def without_selftest(bundle: Bundle) -> Bundle:
    """The same bundle, as a recipe with frames = 0 makes it."""
    root = bundle.root.with_name("untested.v2v")
    graphs = [entry.path for entry in bundle.manifest.files if entry.path.startswith("graphs/")]
    manifest = dataclasses.replace(bundle.manifest, selftest=None)
    write_bundle(root, manifest, graphs={path: bundle.root / path for path in graphs})
    for target in bundle.targets().values():
        folder = bundle.target_path(target)
        write_target(root, target, {entry.path: folder / entry.path for entry in target.files})
    return Bundle.open(root)


def test_what_was_run_without_a_self_test_was_run(elsewhere: Bundle) -> None:
    """The CPU target's own backend played graphs and steps; only the self-test is not there."""
    report = verify(without_selftest(elsewhere), ToyModel())
    assert (report.verdict, report.ran, report.selftest) == ("passed", True, None)
    assert report.steps
    assert report.stream
    assert [text for text in report.not_verified if "not run here" in text] == []
    assert "the self-test: the bundle carries none (frames = 0 in [verify])" in report.not_verified


def test_engines_are_played_without_a_self_test_too(elsewhere: Bundle) -> None:
    bundle = without_selftest(elsewhere)
    report = verify(bundle, ToyModel(), target=TARGET, trust=(target_hash(bundle),))
    assert report.on_target
    assert (report.verdict, report.selftest) == ("passed", None)
    refused = verify(bundle, ToyModel(), target=TARGET)
    assert refused.steps, "its graphs, by another backend"
    assert (refused.verdict, refused.ran) == ("not run here", False)


def test_a_build_fails_where_its_target_cannot_be_played(
    sound: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "Stream", refusing("V2V-E4405"))
    monkeypatch.setattr(Judge, "_tapped_stream", lambda self: True)
    request = SimpleNamespace(
        bundle=sound.root,
        target="cpu.onnxruntime",
        model=ToyModel,
        options=GraphOptions("float32"),
        recipe=SimpleNamespace(verify=VerifyOptions(frames=8)),
        progress=SimpleNamespace(step=lambda text: None),
        release=lambda: None,
        scratch=None,
    )
    monkeypatch.setattr(parity, "judge_in_child", judge)
    with pytest.raises(VerdictError, match="V2V-E4405"):
        build_parity(cast(ParityRequest, request))


def test_a_full_disk_while_verifying(sound: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Judge, judged: Any, root: Path) -> bool:
        with new_file(root.parent / "tapped"):
            raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr(Judge, "_graphs", full)
    with pytest.raises(BuildError) as caught:
        verify(sound, ToyModel())
    assert caught.value.code == "V2V-E7001"
    assert "verify again, or set TMPDIR" in caught.value.fix
