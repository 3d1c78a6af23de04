"""Students on ONNX Runtime, latent by latent, against the literal stream, over 16 frames."""

from __future__ import annotations

import numpy as np
import pytest
from support.micro_std import Bundles, micro_model, micro_options
from systems.std.bundles import apart, levels_apart, widened
from systems.std.conftest import clip
from v2v_export.systems.std.options import StdOptions
from v2v_export.systems.std.reference import ReferenceStream
from v2v_runtime import Stream

FRAMES = 16

FORMS = {
    **{f"batched-{steps}": micro_options(steps) for steps in (1, 2, 3, 4)},
    # As published: the most steps, and the guidance that students are shown with.
    "batched-8": micro_options(8, guidance=6.0),
    "loop-8": micro_options(8, mode="loop", guidance=6.0),
}
"""What is compared: frames in flight, or the steps of one frame."""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    return Bundles(tmp_path_factory.mktemp("std"))


def latents(literal: ReferenceStream) -> dict[str, np.ndarray]:
    """What the last step decoded and what it left waiting, by the names of the program."""
    assert literal.latent is not None
    found = {f"x_{literal.options.steps}": literal.latent, **literal.slots()}
    return {name: value.double().numpy() for name, value in found.items()}


def delay(options: StdOptions) -> int:
    """Frames that are in flight before the first one comes out."""
    assert options.steps is not None
    return options.steps - 1 if options.mode == "batched" else 0


@pytest.mark.parametrize("form", FORMS)
def test_teacher_forced(form: str, bundles: Bundles) -> None:
    """Each step from the reference's own frames in flight: 1e-4 at most."""
    options = FORMS[form]
    literal = micro_model(options).reference().stream
    with Stream(bundles.of(options)) as stream:
        for index, frame in enumerate(clip(FRAMES)):
            stream.set_slots({name: value.numpy() for name, value in literal.slots().items()})
            shown, expected = stream.push(frame), literal.step(frame)
            for name, value in latents(literal).items():
                assert apart(stream.peek(name), value) <= 1e-4, f"frame {index}: {name}"
            assert len(shown) == (index >= delay(options)) == (expected is not None)
            if expected is not None:
                assert levels_apart(shown[0].rgb8, expected.rgb8) <= 1


@pytest.mark.parametrize("form", FORMS)
def test_free_running(form: str, bundles: Bundles) -> None:
    """At most ten times what float32 itself costs the reference."""
    options = FORMS[form]
    single = micro_model(options).reference().stream
    double = widened(single)
    gap: dict[str, float] = {}
    off: dict[str, float] = {}
    with Stream(bundles.of(options)) as stream:
        for frame in clip(FRAMES):
            stream.push(frame)
            single.step(frame)
            double.step(frame)
            exact = latents(double)
            for name, value in latents(single).items():
                off[name] = max(off.get(name, 0.0), apart(stream.peek(name), value))
                gap[name] = max(gap.get(name, 0.0), apart(value, exact[name]))
    assert len(off) == (2 if delay(options) else 1)
    for name in off:
        assert 0 < gap[name] < 1e-4
        assert off[name] <= 10 * gap[name], f"{name}: {off[name]:.3g}, float32's own {gap[name]:.3g}"
