"""The head of a record of ``benchmarks/real_size.py`` says which system was measured, at which size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from _real import record
from _real.case import Case
from _real.diffusion import EXAMPLES, measured
from _real.findings import Part
from v2v_export.registry import code_digest, find_system

MEASUREMENTS = Path(__file__).parents[2] / "docs" / "measurements"
SHORTCUT = Part([])


def written(path: Path, parts: dict[str, Part]) -> Any:
    record.write(path / "record.json", Case(), {"cores": 2}, parts)
    return json.loads((path / "record.json").read_text())


def diffusion(name: str) -> Part:
    return Part([], (), {}, *measured(EXAMPLES / name / "real.toml"))


def test_a_diffusion_part_heads_its_record(tmp_path: Path) -> None:
    found = written(tmp_path, {"std": diffusion("std")})
    assert found["system"] == "std"
    case = found["case"]
    assert (case["recipe"], case["height"], case["width"]) == ("std/real.toml", 512, 512)
    assert case["options"]["architecture"] == "sdxl"
    assert "ngf" not in case
    assert found["code"]["system"] == code_digest(find_system("std"))
    assert found["code"]["system"] != code_digest(find_system("shortcut_v2v"))
    assert "system" not in found["parts"]["std"]


def test_shortcut_s_parts_share_one_head(tmp_path: Path) -> None:
    found = written(tmp_path, {"parity": SHORTCUT, "speed": SHORTCUT})
    assert (found["system"], found["case"]["ngf"]) == ("shortcut_v2v", 64)
    assert found["code"]["system"] == code_digest(find_system("shortcut_v2v"))


def test_parts_of_several_systems_have_their_own(tmp_path: Path) -> None:
    found = written(tmp_path, {"parity": SHORTCUT, "live2diff": diffusion("live2diff")})
    assert (found["system"], found["case"]) == (None, None)
    assert list(found["code"]) == ["exporter"]
    for name, system in (("parity", "shortcut_v2v"), ("live2diff", "live2diff")):
        part = found["parts"][name]
        assert (part["system"], part["code"]["system"]) == (system, code_digest(find_system(system)))
    assert found["parts"]["live2diff"]["case"]["options"]["rows"] == 2


@pytest.mark.parametrize("name", ["live2diff", "std", "stream-diffusion"])
def test_the_committed_records_name_what_was_built(name: str) -> None:
    found = json.loads((MEASUREMENTS / f"real-size-{name}.json").read_text())
    (part,) = found["parts"].values()
    assert [found["system"]] == list(part["systems"])
    assert (found["case"]["height"], found["case"]["width"]) == (512, 512)
    assert list(part["systems"][found["system"]]["targets"]) == [found["case"]["gpu"] + ".tensorrt"]
    assert set(found["code"]) == {"exporter", "system"}
