"""The three diffusion recipes of ``examples/``, built whole by the command line, verified, and played where
there is no torch.

Random weights show noise, so what is asserted of pictures is what holds of any: they follow their frames and
the prompt, and come out when they should.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from v2v_export.cli import main
from v2v_export.clip import moving_frames
from v2v_runtime.bundle import Bundle

pytestmark = pytest.mark.timeout(900)  # a build of three diffusion models, on a machine with other work

EXAMPLES = Path(__file__).parents[2] / "examples"
FRAMES = 14
CHANGED = 11
"""The frame from which on another prompt is played; the ones before it show the bundle's own."""

GRAPHS = {"text", "cross_kv", "encode", "decode"}


@dataclass(frozen=True)
class Example:
    """What a recipe makes.

    Attributes:
        graphs: besides ``GRAPHS``.
        forced, free, poisoned: steps that the build compares.
        shown: push -> the frames that come out of it, where not the one before last.
    """

    graphs: frozenset[str]
    forced: int
    free: int
    poisoned: int
    shown: dict[int, list[int]]


def late(first: int, frames: int = FRAMES) -> dict[int, list[int]]:
    """One frame of delay from frame ``first`` on; the flush is push ``frames``."""
    return {index: [index - 1] for index in range(first + 1, frames + 1)}


EXAMPLE = {
    # Two rows: the frame before is shown. Steps: two periods and one; the self-test's twelve frames.
    "stream_diffusion": Example(frozenset({"unet_step"}), 3, 12, 0, late(0)),
    "std": Example(frozenset({"denoise"}), 3, 12, 0, {index: [index] for index in range(FRAMES)}),
    # Eight frames at once; then rings of eight that are filled, wrapped and read: ten steps; of the twelve
    # frames four are steps of the stream.
    "live2diff": Example(
        frozenset({"unet_step", "unet_warmup", "warmup_encode", "warmup_decode", "warmup_depth", "depth"}),
        1 + 10,
        1 + 4,
        1 + 10,
        {7: list(range(8)), **late(8)},
    ),
}

PLAY = """
import sys
for name in ("torch", "onnx", "diffusers", "transformers", "v2v_export", "v2v_plugins"):
    sys.modules[name] = None
import json
import numpy as np
from v2v_runtime import Bundle, Stream
from v2v_runtime.prompt import prompt_params

bundle, clip, changed, out = Bundle.open(sys.argv[1]), np.load(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
when, pictures = [], {}
with Stream(bundle, "cpu") as stream:
    for prompt in ("own", "other"):
        shown, times = [], {}
        for index, frame in enumerate(clip):
            if prompt == "other" and index == changed:
                stream.set_params(prompt_params(bundle, "a ship in a storm, oil on canvas"))
            made = stream.push(frame, timestamp=1000 + 40 * index)
            times[index] = [item.timestamp for item in made]
            shown += [item.rgb8.copy() for item in made]
        made = stream.flush()
        times[len(clip)] = [item.timestamp for item in made]
        shown += [item.rgb8.copy() for item in made]
        when.append(times)
        pictures[prompt] = np.stack(shown)
        stream.reset(params=True)
np.savez(out, **pictures)
print(json.dumps(when))
"""


@dataclass(frozen=True)
class Built:
    example: Example
    bundle: Bundle


@pytest.fixture(scope="module", params=list(EXAMPLE))
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp(request.param)
    out = folder / "made.v2v"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("V2V_CACHE", str(folder / "cache"))
        text = (EXAMPLES / request.param / "v2v.toml").read_text(encoding="utf-8")
        recipe = folder / "v2v.toml"
        # What a build compares must not depend on how much of this machine it gets.
        recipe.write_text(f"{text}\n[verify]\nbudget_seconds = 7200\n", encoding="utf-8")
        assert main(["build", str(recipe), "--gpu", "cpu", "-o", str(out)]) == 0
    return Built(EXAMPLE[request.param], Bundle.open(out))


def test_everything_is_verified(built: Built) -> None:
    example, target = built.example, built.bundle.target("cpu")
    found: dict[str, Any] = dict(target.verification)
    assert (target.status, found["verdict"], found["miss"]) == ("verified", "passed", None)
    assert found["not_verified"] == []
    assert set(found["graphs"]) == set(built.bundle.manifest.graphs) == GRAPHS | example.graphs
    assert found["teacher_forced"]["steps"] == example.forced
    assert found["free_running"]["steps"] == example.free
    assert found["poisoned_steps"] == example.poisoned
    for level in ("teacher_forced", "free_running"):
        picture = found[level]["out_float"]
        assert 0 < picture <= 1e-4, level
    in_flight = max(example.shown) - (FRAMES - 1)
    assert found["selftest"]["frames"] == 12 - in_flight
    assert found["selftest"]["levels"] <= found["selftest"]["allowed"] == 1


def test_it_plays_where_there_is_no_torch(built: Built, tmp_path: Path) -> None:
    (size,) = built.bundle.manifest.program.inputs.values()
    np.save(tmp_path / "clip.npy", moving_frames(FRAMES, size.height, size.width, seed=5))
    (tmp_path / "play.py").write_text(PLAY)
    words = [tmp_path / "play.py", built.bundle.root, tmp_path / "clip.npy", CHANGED, tmp_path / "shown.npz"]
    done = subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    for times in json.loads(done.stdout):
        seen = {int(push): made for push, made in times.items() if made}
        assert seen == {
            push: [1000 + 40 * index for index in frames] for push, frames in built.example.shown.items()
        }
    with np.load(tmp_path / "shown.npz") as shown:
        own, other = shown["own"], shown["other"]
    assert own.shape == other.shape == (FRAMES, size.height, size.width, 3)
    follow_frames(own)
    before = sum(len(frames) for push, frames in built.example.shown.items() if push < CHANGED)
    assert np.array_equal(own[:before], other[:before])
    for index in range(before, FRAMES):
        assert not np.array_equal(own[index], other[index]), f"frame {index} does not know of the prompt"


def follow_frames(pictures: NDArray[np.uint8]) -> None:
    """Neither plain nor frozen: levels spread within each picture, and neighbours differ."""
    for index, picture in enumerate(pictures):
        assert picture.std() > 5, f"picture {index} is plain"
        if index:
            apart = np.abs(picture.astype(int) - pictures[index - 1]).mean()
            assert apart > 0.5, f"picture {index} is the one before"
