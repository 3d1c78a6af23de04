"""What engines are asked for, and what is refused before any is built."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from v2v_export.build import build
from v2v_export.build.engines import row_buckets
from v2v_export.build.variants import graph_options, plan_target, variant_name
from v2v_export.errors import BuildError, V2VError
from v2v_export.profiles import Choice, load_profile
from v2v_export.recipe import load_recipe
from v2v_export.registry import find_system
from v2v_export.store import Store
from v2v_export.system import GraphOptions
from v2v_export.targets import tensorrt
from v2v_export.targets.base import Availability
from v2v_runtime.manifest.model import Call, FrameSpec, Phase, Program, Rows

pytestmark = pytest.mark.usefixtures("third_party")


def test_buckets_of_all_calls() -> None:
    def call(name: str, graph: str, buckets: tuple[int, ...] | None) -> Call:
        rows = None if buckets is None else Rows("count", buckets, ("x", "y"))
        return Call(name, graph, {}, {}, rows=rows)

    frame = FrameSpec(8, 8)
    phases = (
        Phase("warm", 1, (call("a", "dit", (4, 8)), call("b", "plan", None))),
        Phase("stream", "forever", (call("a", "dit", (2, 8)),)),
    )
    program = Program({"f": frame}, {"f": frame}, phases, max_frames=1)
    assert row_buckets(program) == {"dit": {"x": (2, 4, 8), "y": (2, 4, 8)}}


def test_a_variant_is_what_the_system_knows_of_the_profile() -> None:
    system, profile = find_system("tiny"), load_profile("rtx4090")
    default = graph_options(profile, "onnxruntime", system)
    assert default == GraphOptions("float16", {"blend": "sum"}), "the profile's deform is not of this system"
    assert variant_name(default, system) == "fp16"
    lowering = {"onnxruntime": {"blend": Choice("where", "a test")}}
    chosen = graph_options(dataclasses.replace(profile, lowering=lowering), "onnxruntime", system)
    assert variant_name(chosen, system) == "fp16-where"
    unknown = {"onnxruntime": {"blend": Choice("magic", "a test")}}
    assert graph_options(dataclasses.replace(profile, lowering=unknown), "onnxruntime", system) == default


def test_a_fallback_takes_over_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Availability(False, "it is not installed")
    monkeypatch.setattr(tensorrt.TensorRTBuilder, "available", lambda self: missing)
    notes: list[str] = []
    plan = plan_target(load_profile("rtx4090"), find_system("tiny"), notes.append)
    assert plan.name == "rtx4090.onnxruntime"
    assert notes == ["rtx4090: onnxruntime takes the place of tensorrt (it is not installed)"]
    alone = dataclasses.replace(load_profile("rtx4090"), fallbacks=())
    with pytest.raises(BuildError, match=r"E7112[\s\S]*it is not installed"):
        plan_target(alone, find_system("tiny"), notes.append)


def test_what_cannot_fit_is_refused_before_engines_are_built(
    warm_store: Store, recipe_path: Path, tmp_path: Path
) -> None:
    profile = load_profile("h100")
    tiny = dataclasses.replace(profile.memory_gib, value=profile.reserve_gib.value + 1e-6)
    small = dataclasses.replace(profile, name="small", memory_gib=tiny)
    with pytest.raises(V2VError, match=r"E5201[\s\S]*small[\s\S]*to do"):
        build(load_recipe(recipe_path), tmp_path / "o.v2v", [small], store=warm_store, verify=False)
    assert not (tmp_path / "o.v2v").exists()
    built = [path for path in (warm_store.root / "engine").iterdir() if path.is_dir()]
    assert len(built) == 2, "those of the warm build alone"
