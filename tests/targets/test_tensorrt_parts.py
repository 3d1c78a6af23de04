"""Parts of the tensorrt builder that need no build: options, counters, header, progress, flavours."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.tensorrt_nets import request, warping_net
from v2v_export.errors import BuildError
from v2v_export.profiles import load_profile
from v2v_export.targets._tensorrt.counters import Kernel, engine_counters, parse_inspector, parse_log
from v2v_export.targets._tensorrt.flavour import FLAVOURS
from v2v_export.targets._tensorrt.header import lint, read_header
from v2v_export.targets._tensorrt.log import Log
from v2v_export.targets._tensorrt.network import create_network
from v2v_export.targets._tensorrt.progress import Watch
from v2v_export.targets.base import Builder, builder
from v2v_export.targets.tensorrt import BUILDER, require_same_gpu


def test_the_builder_is_found_by_its_name() -> None:
    assert builder("tensorrt") is BUILDER
    assert isinstance(BUILDER, Builder)


def test_options_of_a_profile() -> None:
    assert BUILDER.options(load_profile("rtx4090").to_dict()) == {
        "flavour": "rtx",
        "compute_capability": "8.9",
        "workspace_mib": 6144,
    }


def test_hopper_is_refused_with_its_way_out() -> None:
    with pytest.raises(BuildError) as caught:
        BUILDER.options(load_profile("h100").to_dict())
    assert caught.value.code == "V2V-E7110"
    assert "h100" in caught.value.seen
    assert "onnxruntime" in caught.value.fix


@pytest.mark.parametrize("told", [{"flavour": "9"}, {"flavor": "rtx"}, {"flavour": "rtx", "level": "5"}])
def test_unknown_options_are_refused(told: dict[str, str]) -> None:
    profile = {**load_profile("rtx4090").to_dict(), "options": {"tensorrt": told}}
    with pytest.raises(BuildError) as caught:
        BUILDER.options(profile)
    assert caught.value.code == "V2V-E7110"


def test_full_tensorrt_takes_hopper() -> None:
    profile = {**load_profile("h100").to_dict(), "options": {"tensorrt": {"flavour": "10"}}}
    assert BUILDER.options(profile)["compute_capability"] == "9.0"


@pytest.mark.skipif(FLAVOURS["11"].version() is not None, reason="TensorRT 11 is installed")
def test_a_flavour_that_is_not_installed(tmp_path: Path) -> None:
    wanted = request(warping_net(tmp_path / "m.onnx"), tmp_path / "w", flavour="11")
    with pytest.raises(BuildError) as caught:
        BUILDER.build(wanted, lambda phase, done=None, total=None: None)
    assert caught.value.code == "V2V-E7201"
    assert "TensorRT 11" in caught.value.seen


@pytest.mark.parametrize(("flavour", "flags"), [("10", 2), ("11", 0), ("rtx", 0)])
def test_networks_are_strongly_typed(flavour: str, flags: int) -> None:
    class Typed:
        def __int__(self) -> int:
            return 1

    trt = SimpleNamespace(NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=Typed()))
    asked: list[int] = []
    create_network(trt, FLAVOURS[flavour], SimpleNamespace(create_network=asked.append))
    assert asked == [flags]


TENSOR = "{{ Name: {0}, Dimensions: [1,8], Strides: [8,1], TacticName: no, Datatype: Half }}"
LOG = [
    "Name: conv, of [two]_myl0_0, LayerType: correlation, Inputs: [ " + TENSOR.format("x") + "], Outputs: [ "
    + TENSOR.format("a") + "], TacticName: __stub, StreamId: 0, Metadata: [ONNX Layer: c]",
    "Name: __myl_Relu_myl0_1, LayerType: kgen, Inputs: [], Constants: [], Outputs: [ " + TENSOR.format("b")
    + "], TacticName: __myl_Relu_0xabc, StreamId: 0, Metadata: []",
    "Name: _gemm_mha_v2_myl1_0, LayerType: kgen, Inputs: [ " + TENSOR.format("q [profile 1]")
    + "], Outputs: [], TacticName: _gemm_mha_v2_0x12, StreamId: 0, Metadata: []",
    "Name: __myl_Relu_myl1_1, LayerType: kgen, Inputs: [], Outputs: [], TacticName: , StreamId: 0",
    " Name: x, IOMode: Input, DataType: Half, Dimensions: [1,8]",
]  # fmt: skip


def test_layers_are_read_from_the_log() -> None:
    assert parse_log(LOG) == [
        Kernel("conv, of [two]_myl0_0", "correlation", "__stub", 0),
        Kernel("__myl_Relu_myl0_1", "kgen", "__myl_Relu_0xabc", 0),
        Kernel("_gemm_mha_v2_myl1_0", "kgen", "_gemm_mha_v2_0x12", 1),
        # Nothing in this line names its profile: it is of the subgraph of the line before.
        Kernel("__myl_Relu_myl1_1", "kgen", "", 1),
    ]


def test_layers_are_read_from_the_inspector() -> None:
    layers = [
        {"Name": "c_myl0_0", "LayerType": "gemm", "Inputs": [{"Name": "x"}], "TacticName": "t"},
        {"Name": "d_myl1_0", "LayerType": "kgen", "Inputs": [{"Name": "x [profile 1]"}]},
    ]
    assert parse_inspector(json.dumps({"Layers": layers})) == [
        Kernel("c_myl0_0", "gemm", "t", 0),
        Kernel("d_myl1_0", "kgen", "", 1),
    ]
    assert parse_inspector(json.dumps({"Layers": ["only", "names"]})) == []


def test_counters_speak_of_the_largest_bucket() -> None:
    memory = [
        "Total Activation Memory: 700 bytes",
        "Total Activation Memory: 900 bytes",
        "Total Weights Memory: 48 bytes",
    ]
    counters = engine_counters(parse_log(LOG), memory, engine_bytes=5000, attentions=2, buckets=2)
    assert counters == {
        "kernels": 2,
        "synchronisations": 0,
        "kernels_by_bucket": [2, 2],
        "kernels_by_type": {"kgen": 2},
        "attentions": 2,
        "attentions_fused": 1,
        "engine_bytes": 5000,
        "weight_bytes": 48,
        "activation_bytes": 900,
        "tactics": {"(kgen)": 1, "_gemm_mha_v2_0x12": 1},
    }


def test_what_the_builder_does_not_tell_is_none() -> None:
    counters = engine_counters([], [], engine_bytes=5, attentions=0, buckets=1)
    assert counters["kernels"] is None
    assert counters["weight_bytes"] is None
    assert counters["activation_bytes"] is None


def test_what_orders_streams_is_no_kernel() -> None:
    kinds = ("kgen", "signal", "gemm", "wait", "wait", "kgen")
    layers = [Kernel(f"layer{index}", kind, "") for index, kind in enumerate(kinds)]
    counters = engine_counters(layers, [], engine_bytes=5, attentions=0, buckets=1)
    assert (counters["kernels"], counters["synchronisations"]) == (3, 3)
    assert counters["kernels_by_type"] == {"gemm": 1, "kgen": 2}


def test_the_log_keeps_what_counts() -> None:
    log = Log()
    log.take("VERBOSE", "Layers:\n" + "\n".join(LOG))
    log.take("INFO", "Total Weights Memory: 48 bytes")
    log.take("VERBOSE", "nothing of interest")
    log.take("WARNING", "hm")
    log.take("ERROR", "one")
    log.take("INTERNAL_ERROR", "two")
    assert log.layers == LOG[:4]
    assert log.memory == ["Total Weights Memory: 48 bytes"]
    assert log.errors == ["one", "two"]


def _header(nbytes: int = 1000, version: tuple[int, ...] = (1, 7, 1, 116), mask: int = 8) -> bytes:
    sizes, mask_bytes = struct.pack("<QQ", 2, nbytes), struct.pack("<Q", mask)
    head = b"vtrt" + bytes(4) + sizes + bytes(version) + b"vtrt" + mask_bytes
    return head.ljust(64, b"\0")


def test_the_header_that_was_asked_for() -> None:
    header = lint(_header(mask=0b11000), 1000, "8.9", "1.7.1.116")
    assert header is not None
    assert header.capabilities == ("8.9", "12.0")


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (_header(nbytes=999), "999"),
        (_header(mask=4), "8.6"),
        (_header(mask=0), "none"),
        (_header(version=(1, 7, 1, 115)), "1.7.1.115"),
    ],
)
def test_a_header_that_says_something_else(head: bytes, word: str) -> None:
    with pytest.raises(BuildError) as caught:
        lint(head, 1000, "8.9", "1.7.1.116")
    assert caught.value.code == "V2V-E7209"
    assert word in caught.value.seen


@pytest.mark.parametrize("head", [b"", b"vtrt", b"ftrt" + bytes(60), b"vtrt" + bytes(60)])
def test_a_header_of_an_unknown_layout_passes_unread(head: bytes) -> None:
    assert read_header(head) is None
    assert lint(head, 1000, "8.9", "1.7.1.116") is None


def test_progress_is_told_with_counts() -> None:
    told: list[tuple[Any, ...]] = []
    watch = Watch(lambda *args: told.append(args))
    watch.start("building", 2)
    watch.start("tactics", 3)
    assert watch.step("tactics", 0)
    watch.finish("tactics")
    assert watch.step("building", 0)
    assert told == [("building", 0, 2), ("tactics", 0, 3), ("tactics", 1, 3), ("building", 1, 2)]


@pytest.mark.skipif(FLAVOURS["rtx"].version() is None, reason="TensorRT for RTX is not installed")
def test_a_report_that_fails_stops_the_build(tmp_path: Path) -> None:
    told: list[str] = []

    def report(phase: str, done: int | None = None, total: int | None = None) -> None:
        told.append(phase)
        if len(told) == 8:
            raise ConnectionError

    wanted = request(warping_net(tmp_path / "m.onnx"), tmp_path / "w")
    with pytest.raises(ConnectionError):
        BUILDER.build(wanted, report)
    assert len(told) == 8
    assert list((tmp_path / "w").iterdir()) == []


def test_versions_and_the_search_path() -> None:
    available = BUILDER.available()
    if not available.ok:
        assert "v2v-export[rtx]" in available.reason
        return
    profile = load_profile("rtx4090").to_dict()
    assert BUILDER.fingerprint(profile) == {"flavour": "rtx", "version": FLAVOURS["rtx"].version()}
    folder = Path(BUILDER.environment()["LD_LIBRARY_PATH"].split(":")[0])
    assert (folder / "libtensorrt_rtx.so").exists()


def test_full_tensorrt_builds_for_the_gpu_that_is_here_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 8.6\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    wanted = request(warping_net(tmp_path / "m.onnx"), tmp_path / "w", "rtx3090")
    require_same_gpu(FLAVOURS["10"], wanted)
    with pytest.raises(BuildError) as caught:
        require_same_gpu(
            FLAVOURS["10"], replace(wanted, options={**wanted.options, "compute_capability": "8.9"})
        )
    assert caught.value.code == "V2V-E7206"
    assert "8.6" in caught.value.seen
    tool.unlink()
    with pytest.raises(BuildError) as caught:
        require_same_gpu(FLAVOURS["10"], wanted)
    assert "none" in caught.value.seen
