"""Profiles: the shipped figures against arithmetic from the chips' make-up, and the strict reader."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from v2v_export.build.variants import graph_options
from v2v_export.errors import RecipeError
from v2v_export.profiles import load_profile, profile_names
from v2v_export.registry import find_system

WANTED = {
    "cpu", "rtx2080ti", "rtx3060", "rtx3090", "rtx4060", "rtx4070", "rtx4080", "rtx4090", "rtx5070",
    "rtx5080", "rtx5090", "l4", "l40s", "a100", "h100", "h200",
}  # fmt: skip

# name: (compute capability, multiprocessors, boost clock in GHz, dense float16 tensor-core multiply-adds per
# multiprocessor and clock, how much of that rate is left with float32 accumulation, memory bus in bits, data
# rate per pin in Gbit/s). From the vendor's product tables; none of it stands in the profiles.
CHIPS = {
    "rtx2080ti": ("7.5", 68, 1.635, 512, 0.5, 352, 14.0),
    "rtx3060": ("8.6", 28, 1.777, 512, 0.5, 192, 15.0),
    "rtx3090": ("8.6", 82, 1.695, 512, 0.5, 384, 19.5),
    "rtx4060": ("8.9", 24, 2.460, 512, 0.5, 128, 17.0),
    "rtx4070": ("8.9", 46, 2.475, 512, 0.5, 192, 21.0),
    "rtx4080": ("8.9", 76, 2.505, 512, 0.5, 256, 22.4),
    "rtx4090": ("8.9", 128, 2.520, 512, 0.5, 384, 21.0),
    "rtx5070": ("12.0", 48, 2.512, 512, 0.5, 192, 28.0),
    "rtx5080": ("12.0", 84, 2.617, 512, 0.5, 256, 30.0),
    "rtx5090": ("12.0", 170, 2.407, 512, 0.5, 512, 28.0),
    "l4": ("8.9", 58, 2.040, 512, 1.0, 192, 12.5),
    "l40s": ("8.9", 142, 2.520, 512, 1.0, 384, 18.0),
    "a100": ("8.0", 108, 1.410, 1024, 1.0, 5120, 2.43),
    "h100": ("9.0", 132, 1.830, 2048, 1.0, 5120, 5.23),
    "h200": ("9.0", 132, 1.830, 2048, 1.0, 6144, 6.25),
}
FP32_LANES = {"7.5": 64, "8.0": 64}  # multiply-adds per multiprocessor and clock; 128 from 8.6 on
FP32_CLOCK = {"9.0": 1.980}  # Hopper's tensor cores boost lower than the rest of the chip


def test_every_profile_of_the_list_ships() -> None:
    assert set(profile_names()) >= WANTED
    assert profile_names()[0] == "cpu"


@pytest.mark.parametrize("name", sorted(CHIPS))
def test_rates_follow_from_the_chip(name: str) -> None:
    capability, multiprocessors, clock, lanes, fp32acc, bits, pin_rate = CHIPS[name]
    profile = load_profile(name)
    assert profile.compute_capability == capability
    assert profile.sm == "SM" + capability.replace(".", "")
    assert profile.fp16_tflops is not None
    assert profile.fp16_fp32acc_tflops is not None
    fp16 = multiprocessors * lanes * 2 * clock / 1000
    fp32 = multiprocessors * FP32_LANES.get(capability, 128) * 2 * FP32_CLOCK.get(capability, clock) / 1000
    # Vendors round, and print some data-centre boards at a clock a little below or above the boost clock.
    assert profile.fp16_tflops.value == pytest.approx(fp16, rel=0.015)
    assert profile.fp16_fp32acc_tflops.value == pytest.approx(fp16 * fp32acc, rel=0.015)
    assert profile.fp32_tflops.value == pytest.approx(fp32, rel=0.015)
    assert profile.bandwidth_gbs.value == pytest.approx(bits * pin_rate / 8, rel=0.005)


def test_backends_of_the_profiles() -> None:
    for name in profile_names():
        profile = load_profile(name)
        if name == "cpu":
            assert (profile.backend, profile.precision, profile.compute_capability) == (
                "onnxruntime",
                "fp32",
                None,
            )
            assert profile.options["onnxruntime"] == {"provider": "cpu"}
        elif profile.compute_capability == "9.0":
            # TensorRT for RTX has no SM90; the profile says so in words.
            assert profile.backends == ("onnxruntime",)
            assert "Hopper" in profile.note
            assert profile.options["onnxruntime"] == {"provider": "cuda"}
        else:
            assert profile.backends == ("tensorrt", "onnxruntime")
            assert profile.options["tensorrt"] == {"flavour": "rtx"}
            assert profile.forms() != {}
        assert profile.float_type == {"fp16": "float16", "fp32": "float32"}[profile.precision]
        for backend in profile.backends:
            chosen = {"deform"}
            if name == "cpu":
                chosen |= {"hetconv", "first_conv", "last_conv"}
            elif backend == "onnxruntime":
                chosen |= {"attention"}
            assert set(profile.forms(backend)) == chosen


@pytest.mark.parametrize("system", ["stream_diffusion", "live2diff", "std"])
def test_half_precision_scores_are_left_to_fusing_backends(system: str) -> None:
    """A float16 product of queries and keys overflows where operators run one by one."""
    for profile in map(load_profile, profile_names()):
        for backend in profile.backends:
            options = graph_options(profile, backend, find_system(system))
            alone = backend == "onnxruntime" and options.float == "float16"
            assert options.lowering["attention"] == ("wide" if alone else "fused"), (profile.name, backend)
    played = [(name, load_profile(name).backends[-1]) for name in ("h100", "h200", "a100", "rtx4090")]
    for name, backend in played:
        options = graph_options(load_profile(name), backend, find_system(system))
        assert (backend, options.float, options.lowering["attention"]) == ("onnxruntime", "float16", "wide")


def test_a_resolved_profile_is_plain_json() -> None:
    for name in profile_names():
        data = load_profile(name).to_dict()
        assert json.loads(json.dumps(data)) == json.loads(json.dumps(asdict(load_profile(name))))
        assert data["memory_gib"]["source"]


@pytest.mark.parametrize("spelling", ["rtx4090", "RTX 4090", "RTX-4090", "rtx_4090"])
def test_spellings_of_a_name(spelling: str) -> None:
    assert load_profile(spelling).name == "rtx4090"


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(RecipeError) as caught:
        load_profile("rtx4900")
    assert caught.value.code == "V2V-E5101"
    assert "rtx4090" in caught.value.fix
    assert "cpu" in caught.value.expected
    with pytest.raises(RecipeError) as caught:
        load_profile("../../etc/passwd")
    assert caught.value.code == "V2V-E5101"


MINE = """
name = "mine"
title = "My board"
backend = "tensorrt"
precision = "fp16"
compute_capability = "8.9"
memory_gib = { value = 20, source = "the box" }
reserve_gib = { value = 1, source = "set by hand", approximate = true }
bandwidth_gbs = { value = 500, source = "the box" }
fp32_tflops = { value = 20, source = "the box" }
fp16_tflops = { value = 80.5, source = "the box" }
l2_mib = { value = 32, source = "the box" }
lowering.tensorrt.deform = { form = "gridsample", why = "checked on the board" }
"""


def _mine(folder: Path, text: str, name: str = "mine.toml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    profile = load_profile(_mine(tmp_path, MINE))
    assert (profile.name, profile.sm, profile.fallbacks, profile.workspace_mib) == ("mine", "SM89", (), None)
    assert profile.fp16_tflops is not None
    assert (profile.fp16_tflops.value, profile.fp16_tflops.approximate) == (80.5, False)
    assert profile.reserve_gib.approximate
    assert profile.forms() == {"deform": "gridsample"}


@pytest.mark.parametrize(
    ("old", "new", "code", "word"),
    [
        ('title = "My board"', 'titel = "My board"', "V2V-E5103", '"title"'),
        ('source = "the box" }\nreserve', 'sauce = "the box" }\nreserve', "V2V-E5103", '"source"'),
        ('title = "My board"\n', "", "V2V-E5104", "title"),
        ("value = 500", "value = -500", "V2V-E5105", "bandwidth_gbs.value"),
        ("value = 500", "value = nan", "V2V-E5105", "bandwidth_gbs.value"),
        ("value = 500", "value = true", "V2V-E5105", "bandwidth_gbs.value"),
        ('{ value = 500, source = "the box" }', "500", "V2V-E5105", "bandwidth_gbs"),
        ('{ value = 500, source = "the box" }', "{ value = 500 }", "V2V-E5105", "bandwidth_gbs.source"),
        ('"tensorrt"\n', '"tensorflow"\n', "V2V-E5105", "onnxruntime, tensorrt"),
        ('"8.9"', "8.9", "V2V-E5105", "compute_capability"),
        ('"8.9"', '"SM89"', "V2V-E5105", "compute_capability"),
        ('name = "mine"', 'name = "yours"', "V2V-E5106", '"yours"'),
        ('compute_capability = "8.9"', "", "V2V-E5107", "compute_capability"),
        ("fp16_tflops = ", "fp16_fp32acc_tflops = ", "V2V-E5107", "fp16_tflops"),
        ("value = 1,", "value = 20,", "V2V-E5107", "reserve_gib"),
        ("lowering.tensorrt", "lowering.onnxruntime", "V2V-E5107", "onnxruntime"),
        ('precision = "fp16"', 'precision = "fp16', "V2V-E5102", "TOML"),
    ],
)
def test_a_profile_that_is_not_valid(tmp_path: Path, old: str, new: str, code: str, word: str) -> None:
    assert MINE.count(old) == 1
    with pytest.raises(RecipeError) as caught:
        load_profile(_mine(tmp_path, MINE.replace(old, new)))
    assert caught.value.code == code
    assert word in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_profile(str(tmp_path / "none.toml"))
    assert caught.value.code == "V2V-E5102"
