"""Recipes: what they say, and what each mistake is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest
from v2v_export.build.variants import graph_options
from v2v_export.errors import RecipeError
from v2v_export.profiles import load_profile
from v2v_export.recipe import Recipe, load_recipe
from v2v_export.systems.shortcut_v2v import SYSTEM
from v2v_export.weights import Weights, WeightSlot

GOOD = """\
name = "mine"
system = "fake"

[frame]
height = 256   # pixels
width = 512

[weights]
teacher = "random:3"
student = "nets/s.safetensors"

[options]
level = "high"
rate = 2
limit = 7
"""


class Mood(StrEnum):
    CALM = "calm"
    WILD = "wild"


@dataclasses.dataclass(frozen=True)
class Options:
    level: Literal["low", "medium", "high"] = "medium"
    steps: Literal[1, 2, 4] = 4
    mood: Mood = Mood.CALM
    rate: float = 0.5
    count: int = 3
    loud: bool = False
    title: str = "t"
    limit: int | None = None
    sizes: tuple[int, ...] = ()


class Fake:
    name = "fake"
    title = "a fake"
    weights = (
        WeightSlot("teacher"),
        WeightSlot("student"),
        WeightSlot("base", required=False, forms=("file", "folder", "hub"), parts=("unet",)),
        WeightSlot("lora", required=False, many=True),
    )
    lowerings: Mapping[str, tuple[str, ...]] = {}
    options: type[Any] = Options

    def template(self) -> str:
        return GOOD

    def load(self, weights: Weights, options: Any, size: Any) -> Any:
        raise NotImplementedError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "s.safetensors").write_bytes(b"weights")
    return tmp_path


def read(folder: Path, text: str) -> Recipe:
    (folder / "v2v.toml").write_text(text, encoding="utf-8")
    return load_recipe(folder / "v2v.toml", {"fake": Fake()})


def test_a_good_recipe(folder: Path) -> None:
    recipe = read(folder, GOOD)
    assert (recipe.name, recipe.system.name) == ("mine", "fake")
    assert (recipe.size.height, recipe.size.width) == (256, 512)
    assert recipe.weights == {"teacher": "random:3", "student": str(folder / "nets/s.safetensors")}
    assert recipe.options == Options(level="high", rate=2.0, limit=7)
    assert type(recipe.options.rate) is float
    assert recipe.profiles == ("cpu",)
    assert recipe.path == folder / "v2v.toml"


def test_every_type_of_option(folder: Path) -> None:
    text = GOOD.replace(
        'level = "high"', 'steps = 2\nmood = "wild"\nloud = true\ntitle = "x"\nsizes = [4, 8]'
    )
    options = read(folder, text).options
    assert (options.steps, options.mood, options.loud, options.sizes) == (2, Mood.WILD, True, (4, 8))


def test_resolved_shows_defaults_and_hides_paths(folder: Path) -> None:
    resolved = read(folder, GOOD).resolved(lambda path: f"digest of {path.read_bytes().decode()}")
    assert resolved["weights"] == {
        "teacher": {"random": 3},
        "student": {"file": "s.safetensors", "sha256": "digest of weights"},
    }
    assert resolved["options"]["count"] == 3
    assert resolved["verify"]["tolerance_float32"] == 1e-4
    assert str(folder) not in repr(resolved)


MISTAKES = {
    "typo at the top": ('name = "mine"', 'nam = "mine"', "E5002", ["v2v.toml:1", '"name"']),
    "typo of a table": ("[options]", "[option]", "E5002", ["v2v.toml:12", '"options"']),
    "typo in the frame": ("height =", "heigth =", "E5002", ["v2v.toml:5", '"height"']),
    "typo of an option": ("rate =", "rat =", "E5002", ["v2v.toml:14", '"rate"']),
    "typo of a choice": ('"high"', '"hihg"', "E5004", ["v2v.toml:13", 'did you mean "high"']),
    "typo of a weight": ("teacher =", "techer =", "E5006", ["v2v.toml:9", '"teacher"']),
    "typo of a file": ("s.safetensors", "s.safetensor", "E5007", ["v2v.toml:10", '"s.safetensors"']),
    "typo of the system": ('"fake"', '"fakee"', "E5010", ["did you mean fake"]),
    "no such file": ("nets/s.safetensors", "elsewhere/x.bin", "E5007", ["elsewhere/x.bin"]),
    "no seed": ("random:3", "random:", "E5006", ["random:SEED"]),
    "a seed of 5000 digits": ("random:3", f"random:{'9' * 5000}", "E5006", ["0 to 2^63 - 1"]),
    "a seed that is too large": ("random:3", f"random:{1 << 63}", "E5006", ["0 to 2^63 - 1"]),
    "a word for a seed": ("random:3", "random:x", "E5006", ["random:SEED"]),
    "a missing key": ("width = 512\n", "", "E5003", ["[frame]", '"width"']),
    "a missing weight": ('teacher = "random:3"\n', "", "E5006", ['"teacher"']),
    "zero height": ("height = 256", "height = 0", "E5005", ["v2v.toml:5", "height = 0"]),
    "negative width": ("width = 512", "width = -2", "E5005", ["v2v.toml:6", "width = -2"]),
    "too large": ("width = 512", "width = 20000", "E5005", ["16384"]),
    "a size in words": ("height = 256", 'height = "256"', "E5004", ["v2v.toml:5", "a whole number"]),
    "a broken size": ("height = 256", "height = 256.0", "E5004", ["a whole number"]),
    "true for a number": ("limit = 7", "limit = true", "E5004", ["v2v.toml:15", "a whole number"]),
    "true for one": ('level = "high"', "steps = true", "E5004", ["one of 1, 2, 4"]),
    "a number for a flag": ("limit = 7", "loud = 1", "E5004", ["true or false"]),
    "not a number": ("rate = 2", "rate = nan", "E5004", ["a finite number"]),
    "endless": ("rate = 2", "rate = inf", "E5004", ["a finite number"]),
    "endless in float32": ("rate = 2", "rate = -1e39", "E5004", ["float32", "-1e+39"]),
    "a whole number beyond floats": ("rate = 2", "rate = 1" + "0" * 400, "E5004", ["float32"]),
    "a text for a list": ("limit = 7", 'sizes = "4"', "E5004", ["a list"]),
    "a text in a list": ("limit = 7", 'sizes = [4, "8"]', "E5004", ["a whole number"]),
    "a value for a table": (
        "[frame]\nheight = 256   # pixels\nwidth = 512",
        "frame = 3",
        "E5004",
        ["[frame]"],
    ),
    "a name with a slash": ('"mine"', '"../mine"', "E5004", ["letters"]),
    "an empty name": ('"mine"', '""', "E5004", ["letters"]),
    "no TOML": ("[frame]", "[frame", "E5001", ["line 4"]),
    "a key twice": ("width = 512", "width = 512\nwidth = 512", "E5001", ["line 7"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(folder: Path, name: str) -> None:
    old, new, code, words = MISTAKES[name]
    assert old in GOOD
    with pytest.raises(RecipeError) as caught:
        read(folder, GOOD.replace(old, new, 1))
    assert caught.value.code == f"V2V-{code}"
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("table", "code", "word"),
    [
        ("[targets]\nprofiles = []", "E5004", "at least one"),
        ('[targets]\nprofiles = "cpu"', "E5004", "a list"),
        ('[targets]\nprofile = ["cpu"]', "E5002", '"profiles"'),
        ("[verify]\nframes = 1", "E5004", "at least 2"),
        ("[verify]\ntolerance_float32 = -1e-4", "E5004", "at least 0"),
        ("[verify]\ntolerence_float16 = 1e-4", "E5002", '"tolerance_float16"'),
    ],
)
def test_mistakes_in_tables_of_ours(folder: Path, table: str, code: str, word: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read(folder, f"{GOOD}\n{table}\n")
    assert caught.value.code == f"V2V-{code}"
    assert word in str(caught.value)


def test_targets_and_verify(folder: Path) -> None:
    text = f'{GOOD}\n[targets]\nprofiles = ["cpu", "rtx4090", "cpu"]\n[verify]\nframes = 40\n'
    recipe = read(folder, text)
    assert recipe.profiles == ("cpu", "rtx4090")
    assert recipe.verify.frames == 40


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="E5001"):
        load_recipe(tmp_path / "none.toml")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "v2v.toml").write_bytes(b"name = \xff\xfe")
    with pytest.raises(RecipeError, match="E5001"):
        load_recipe(tmp_path / "v2v.toml")


def test_options_that_no_recipe_can_hold(folder: Path) -> None:
    """A mistake of the system's author, not of the user: it must not pass silently."""

    @dataclasses.dataclass(frozen=True)
    class Odd:
        level: dict[str, int] = dataclasses.field(default_factory=dict)

    system = Fake()
    system.options = Odd
    (folder / "v2v.toml").write_text(GOOD.replace("rate = 2\nlimit = 7\n", ""), encoding="utf-8")
    with pytest.raises(TypeError, match="level"):
        load_recipe(folder / "v2v.toml", {"fake": system})


def lowered(tmp_path: Path, text: str) -> Recipe:
    """A recipe of the real system with a ``[lowering]`` table."""
    path = tmp_path / "v2v.toml"
    path.write_text(SYSTEM.template() + text)
    return load_recipe(path)


def test_lowerings_of_the_recipe_replace_the_profiles(tmp_path: Path) -> None:
    recipe = lowered(tmp_path, '\n[lowering.onnxruntime]\ndeform = "gather"\n')
    cpu = load_profile("cpu")
    chosen = recipe.profile(cpu)
    options = graph_options(chosen, "onnxruntime", recipe.system)
    assert options.lowering["deform"] == "gather"
    assert graph_options(cpu, "onnxruntime", recipe.system).lowering["deform"] == "scan"
    # What the recipe is silent on stays the profile's.
    assert options.lowering["last_conv"] == "blocked"
    assert recipe.resolved(str)["lowering"] == {"onnxruntime": {"deform": "gather"}}
    assert chosen.forms("onnxruntime").keys() == cpu.forms("onnxruntime").keys()


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        ('[lowering.onnxruntme]\ndeform = "gather"', "V2V-E5002", 'did you mean "onnxruntime"'),
        ('[lowering.onnxruntime]\ndefrom = "gather"', "V2V-E5002", 'did you mean "deform"'),
        ('[lowering.onnxruntime]\ndeform = "grid"', "V2V-E5004", "gridsample"),
        ('[lowering]\nonnxruntime = "gather"', "V2V-E5004", "[lowering.onnxruntime]"),
    ],
)
def test_unknown_lowerings_are_refused(text: str, code: str, word: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        lowered(tmp_path, f"\n{text}\n")
    assert caught.value.code == code
    assert word in str(caught.value)
