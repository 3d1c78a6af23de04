"""The size of the paper, 256x512 and h = 64: what small sizes cannot show.

Twelve frames of one form of the local sampling; ``make bench-real`` plays 64 frames of every form in both
schedules, and measures speed and memory.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from support.recipes import recipe_text
from v2v_export.build import build
from v2v_export.build.variants import graph_options
from v2v_export.clip import moving_frames
from v2v_export.profiles import load_profile
from v2v_export.recipe import load_recipe
from v2v_export.store import Store
from v2v_export.verify.compare import Tolerance
from v2v_export.verify.steps import check_steps
from v2v_export.verify.tapped import tapped_copy
from v2v_runtime.bundle import Bundle
from v2v_runtime.stream import Stream
from v2v_runtime.trace import Event, PhaseEvent

FRAMES = 12
HEIGHT, WIDTH = 256, 512
WEIGHTS = {"teacher": "random:0", "shortcut": "random:0"}
TOLERANCE = Tolerance(picture=1e-4, levels=1)


def test_stream_equals_the_literal_reference_at_the_float_tap(tmp_path: Path) -> None:
    path = tmp_path / "v2v.toml"
    # The defaults of [options] are the real ones: ngf 64, h = C/2 = 64, medium, alpha 3, schedule shortcut.
    # Two frames are the least that a self-test can have; it is not played here.
    path.write_text(recipe_text("shortcut_v2v", (HEIGHT, WIDTH), WEIGHTS, name="real", frames=2))
    recipe, cpu = load_recipe(path), load_profile("cpu")
    built = build(recipe, None, [cpu], store=Store(tmp_path / "store"), verify=False)
    bundle = Bundle.open(built.bundle)
    model = recipe.system.load(recipe.weights, recipe.options, recipe.size)
    options = graph_options(cpu, "onnxruntime", recipe.system)
    assert options.float == "float32"
    taps = tapped_copy(bundle, bundle.target("cpu"), model.graphs(options), tmp_path / "tapped.v2v")

    frames = moving_frames(FRAMES, HEIGHT, WIDTH, seed=2)
    events: list[Event] = []
    with Stream(Bundle.open(taps.root), taps.target, late="inline", trace=events.append) as stream:
        checks = list(check_steps(stream, events, taps, model.reference(), frames, TOLERANCE, forced=False))

    assert [check.failed for check in checks] == [""] * FRAMES
    for check in checks:
        found = {item.tensor: item for _, item in check.differences}
        assert set(found) == {"out_float", "out"}, f"frame {check.frame}"
        assert found["out_float"].kind == "picture"
        assert found["out_float"].largest <= 1e-4, f"frame {check.frame}: {found['out_float']}"
        assert found["out"].kind == "levels"
        assert found["out"].largest <= 1, f"frame {check.frame}: {found['out']}"
    # Frames 3, 6 and 9 refresh the reference: later ones would be off by far without it.
    calls = Counter(name for e in events if not isinstance(e, PhaseEvent) for name, _ in e.calls)
    assert calls == {"full": 1, "shortcut": FRAMES - 1, "refresh": (FRAMES - 1) // 3}
