"""Prompts in a stream: a bundle built and played for real, its prompt changed between frames."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.prompt_system import RECIPE, REGISTRY
from v2v_export.build import build
from v2v_export.cli import main
from v2v_export.diffusion.embed import embed_with_bundle, embed_with_recipe
from v2v_export.diffusion.prompt_errors import PromptError
from v2v_export.profiles import load_profile
from v2v_export.recipe import Recipe, load_recipe
from v2v_export.store import Store
from v2v_export.systems import live2diff, std, stream_diffusion
from v2v_runtime import player
from v2v_runtime.blobs import read_safetensors, write_safetensors
from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import StreamError
from v2v_runtime.param_changes import Changes
from v2v_runtime.prompt import CutPrompt, Tokenizer, fill_rows, prompt_params
from v2v_runtime.stream import Stream
from v2v_runtime.trace import Event, StepEvent
from v2v_runtime.video import VideoReader, VideoWriter

TWO = 'guided = true\nsdxl = true\nnegative_text = "blurry"\n'
"""Two rows, two text encoders."""

EMBEDDINGS = TWO + 'prompt = "embeddings"\n'

TOO_LONG = "word " * 25 + "the very end"
"""The vocabulary that goes with random weights merges pairs of letters: 25 times w, or, d fill the 75."""

FRAME = np.full((16, 24, 3), 90, np.uint8)


def recipe(folder: Path, options: str = "") -> Recipe:
    path = folder / "v2v.toml"
    path.write_text(RECIPE + (f"[options]\n{options}" if options else ""))
    return load_recipe(path, REGISTRY)


def built(folder: Path, options: str = "", verify: bool = False) -> Path:
    out = folder / "prompted.v2v"
    build(recipe(folder, options), out, [load_profile("cpu")], store=Store(folder / "store"), verify=verify)
    return out


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built and verified against transformers' and diffusers' own modules."""
    return built(tmp_path_factory.mktemp("prompted"), TWO, verify=True)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("plain"), EMBEDDINGS)


def pixel(stream: Stream) -> list[int]:
    (shown,) = stream.push(FRAME)
    colour: list[int] = shown.rgb8[0, 0].tolist()
    return colour


def test_a_prompt_changes_the_next_frame_and_runs_its_graphs_once(bundle: Path) -> None:
    events: list[Event] = []
    opened = Bundle.open(bundle)
    with Stream(opened, trace=events.append) as stream:
        first = [pixel(stream) for _ in range(3)]
        stream.set_params(prompt_params(opened, "a watercolour of the sea"))
        second = [pixel(stream) for _ in range(2)]
        stream.set_params(gain=0.5)
        third = [pixel(stream) for _ in range(2)]
        stream.set_params(gain=1.0, **prompt_params(opened, "a cat"))
        back = [pixel(stream) for _ in range(2)]
    assert first[0] == first[1] == first[2]
    assert second[0] == second[1] != first[0]
    assert third[0] == third[1] != second[0]
    assert back == first[:2], "the bundle's own prompt again"
    ran = [[name for name, _ in event.calls] for event in events if isinstance(event, StepEvent)]
    changed = ["text", "cross_kv", "tint"]
    # The first frame, the new prompt and the old one again; not where another param was set.
    assert ran == [changed, ["tint"], ["tint"], changed, ["tint"], ["tint"], ["tint"], changed, ["tint"]]


def test_two_rows_and_two_text_encoders(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    params = prompt_params(opened, "the sea", negative="a cat!")
    assert list(params) == ["prompt_tokens", "prompt_tokens_2"]
    assert all(rows.shape == (2, 77) for rows in params.values())
    kept = prompt_params(opened, "the sea")
    default = opened.blob(opened.manifest.program.params["prompt_tokens"].default)
    np.testing.assert_array_equal(kept["prompt_tokens"][0], default[0])
    np.testing.assert_array_equal(kept["prompt_tokens"][1], params["prompt_tokens"][1])
    assert not np.array_equal(params["prompt_tokens"][0], default[0])
    with Stream(opened) as stream:
        before = pixel(stream)
        stream.set_params(params)
        assert pixel(stream) != before


def test_a_negative_prompt_where_none_is_read(bundle: Path) -> None:
    one_row = {"prompt_tokens": np.zeros((1, 77), np.int64)}
    tokenizers = Tokenizer.from_bundle(Bundle.open(bundle))[:1]
    with pytest.raises(StreamError, match="V2V-E3085"):
        fill_rows(one_row, tokenizers, "a cat", "blurry")
    assert not one_row["prompt_tokens"].any(), "nothing was written"
    fill_rows(one_row, tokenizers, "a cat", None)
    assert one_row["prompt_tokens"][0, 0] == 49406


@pytest.mark.parametrize("wrong", [-1, 49408, 2**40])
def test_a_token_that_the_text_encoder_does_not_know(wrong: int, bundle: Path) -> None:
    """Refused when it is set, before anything runs on it: the prompt before it stays."""
    opened = Bundle.open(bundle)
    params = prompt_params(opened, "the sea")
    spoiled = params["prompt_tokens_2"].copy()
    spoiled[1, 5] = wrong
    with Stream(opened) as stream:
        first = pixel(stream)
        with pytest.raises(StreamError, match=r"(?s)V2V-E3012.*'prompt_tokens_2'.*0 to 49407"):
            stream.set_params({**params, "prompt_tokens_2": spoiled})
        assert pixel(stream) == first
        stream.set_params(params)
        assert pixel(stream) != first


def test_inspect_says_which_tokens_there_are(bundle: Path, capsys: Any) -> None:
    assert main(["inspect", str(bundle)]) == 0
    assert "param prompt_tokens_2: int64 [2, 77], 0 to 49407" in capsys.readouterr().out


def test_a_prompt_that_is_too_long(bundle: Path) -> None:
    opened, text = Bundle.open(bundle), TOO_LONG
    with pytest.warns(CutPrompt, match="from 'the very end' on"):
        cut = prompt_params(opened, text)["prompt_tokens"]
    assert cut[1, -1] == 49407
    with pytest.raises(StreamError, match=r"V2V-E3083.*82 tokens, 7 too many: from 'the very end' on"):
        prompt_params(opened, text, strict=True)


def command(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True)


@pytest.mark.parametrize("given", [5, b"the sea", ["the sea"]])
def test_a_prompt_that_is_no_text(given: Any, bundle: Path) -> None:
    told = rf"(?s)V2V-E3086.*a prompt of type {type(given).__name__}"
    opened = Bundle.open(bundle)
    with pytest.raises(StreamError, match=told):
        prompt_params(opened, given)
    with pytest.raises(StreamError, match=told):
        prompt_params(opened, "the sea", negative=given)


def test_embeddings_from_a_bundle_without_torch(bundle: Path, plain: Path, tmp_path: Path) -> None:
    """What ``v2v-export prompt`` writes plays the same picture in a bundle that takes embeddings."""
    file = tmp_path / "sea.safetensors"
    script = tmp_path / "main.py"
    script.write_text(
        "import sys\n"
        "sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from v2v_export.cli import main\n"
        "raise SystemExit(main(sys.argv[1:]))\n"
    )
    done = command(script, "prompt", bundle, "a watercolour of the sea", "-o", file)
    assert done.returncode == 0, done.stderr
    assert "prompt_embeds [2, 77, 64]" in done.stdout
    assert list(Bundle.open(plain).manifest.graphs) == ["cross_kv", "tint"]
    opened = Bundle.open(bundle)
    with Stream(opened) as by_tokens, Stream(Bundle.open(plain)) as by_embeddings:
        assert pixel(by_embeddings) == pixel(by_tokens)
        by_tokens.set_params(prompt_params(opened, "a watercolour of the sea"))
        by_embeddings.set_params(read_safetensors(file))
        assert pixel(by_embeddings) == pixel(by_tokens)


def test_a_bundle_without_a_text_encoder(bundle: Path, plain: Path, tmp_path: Path, capsys: Any) -> None:
    assert main(["prompt", str(plain), "the sea", "-o", str(tmp_path / "x"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "V2V-E6170"
    with pytest.raises(StreamError, match=r"(?s)V2V-E3084.*v2v-export prompt"):
        prompt_params(Bundle.open(plain), "the sea")
    assert not (tmp_path / "x").exists()


def test_embeddings_from_a_recipe(bundle: Path, tmp_path: Path) -> None:
    """From the recipe of a bundle that takes embeddings, by torch, as from the other bundle by its graph."""
    text, chosen = "a watercolour of the sea", recipe(tmp_path, EMBEDDINGS)
    made = embed_with_recipe(chosen, text)
    by_graph = embed_with_bundle(Bundle.open(bundle), text)
    shapes = {name: value.shape for name, value in made.items()}
    assert shapes == {"prompt_embeds": (2, 77, 64), "pooled_embeds": (2, 32)}
    assert list(by_graph) == list(made)
    for name, value in made.items():
        assert np.abs(value - by_graph[name]).max() <= 1e-5
    default = embed_with_recipe(chosen, None)["prompt_embeds"]
    np.testing.assert_array_equal(made["prompt_embeds"][0], default[0])
    assert np.abs(made["prompt_embeds"][1] - default[1]).max() > 0.1


def test_a_file_as_the_first_prompt(tmp_path: Path) -> None:
    """A recipe without text encoder takes what ``v2v-export prompt`` wrote."""
    made = embed_with_recipe(recipe(tmp_path, EMBEDDINGS), "the sea")
    write_safetensors(tmp_path / "sea.safetensors", made)
    chosen = recipe(tmp_path, EMBEDDINGS)
    weights = {**chosen.weights, "prompt": str(tmp_path / "sea.safetensors")}
    model = chosen.system.load(weights, chosen.options, chosen.size)
    stored = model.blobs()["blobs/prompt.safetensors"]
    for name, value in made.items():
        np.testing.assert_array_equal(stored[name], value)


@pytest.mark.parametrize("system", ["stream_diffusion", "std", "live2diff"])
def test_another_prompt_from_a_recipe_that_has_a_file_of_embeddings(system: str, tmp_path: Path) -> None:
    """The file is the stream's first prompt, not a part of what makes the next one."""
    known = {item.SYSTEM.name: item.SYSTEM for item in (stream_diffusion, std, live2diff)}
    text = known[system].template().replace('\nprompt = "tokens"', '\nprompt = "embeddings"')
    path, file = tmp_path / "v2v.toml", tmp_path / "sea.safetensors"
    path.write_text(text)
    first = embed_with_recipe(load_recipe(path, known), "the sea")
    write_safetensors(file, first)
    path.write_text(text.replace("\nbase =", f'\nprompt = "{file.name}"\nbase ='))
    chosen = load_recipe(path, known)
    assert (chosen.weights["prompt"], chosen.options.prompt) == (str(file), "embeddings")
    again, other = embed_with_recipe(chosen, "the sea"), embed_with_recipe(chosen, "a cat")
    assert list(again) == list(other) == list(first)
    for name, value in first.items():
        np.testing.assert_array_equal(again[name], value)
        assert np.abs(other[name] - value).max() > 0.1


def test_a_system_without_prompt(tmp_path: Path) -> None:
    chosen = recipe(tmp_path)
    with pytest.raises(PromptError, match="V2V-E6170"):
        embed_with_recipe(dataclasses.replace(chosen, options=WithoutPrompt()), "a cat")


@dataclasses.dataclass(frozen=True)
class WithoutPrompt:
    text: str = ""


@pytest.mark.parametrize("run", ["v2v-run", "v2v-export run"])
def test_prompts_on_the_command_line(run: str, bundle: Path, tmp_path: Path, capfd: Any) -> None:
    """Both players: the prompt that is too long is cut, told, and the video follows it."""
    source = tmp_path / "in.mp4"
    with VideoWriter(source, rate=25, time_base=Fraction(1, 25), quality=4) as writer:
        for time in range(3):
            writer.write(FRAME, time)
    out, text = tmp_path / "out.mp4", TOO_LONG
    words = [str(bundle), "--input", str(source), "--output", str(out), "--prompt", text]
    words += ["--negative", "blurry", "--set", "gain=1.5"]
    play = player.main if run == "v2v-run" else lambda argv: main(["run", *argv])
    assert play(words) == 0
    assert capfd.readouterr().err.count("'the very end'") == 1, "told once, though two encoders cut it"
    opened = Bundle.open(bundle)
    with VideoReader(out) as reader, Stream(opened) as stream:
        before = pixel(stream)
        with pytest.warns(CutPrompt):
            stream.set_params(gain=1.5, **prompt_params(opened, text, "blurry"))
        expected = pixel(stream)
        assert np.abs(np.subtract(expected, before)).max() > 20
        for frame in reader:
            middle = frame.rgb[4:12, 4:20].reshape(-1, 3).astype(int).mean(0)
            assert np.abs(middle - expected).max() <= 8


@pytest.mark.parametrize("run", ["v2v-run", "v2v-export run"])
def test_a_prompt_that_changes_while_the_video_plays(
    run: str, bundle: Path, tmp_path: Path, capfd: Any
) -> None:
    """Both players: from the frame at that time on, with what is cut told at the start."""
    source, out = tmp_path / "in.mp4", tmp_path / "out.mp4"
    with VideoWriter(source, rate=25, time_base=Fraction(1, 25), quality=4) as writer:
        for time in range(4):
            writer.write(FRAME, time)
    words = [str(bundle), "--input", str(source), "--output", str(out)]
    words += ["--prompt", "the sea", "--at", f"0.08s:prompt={TOO_LONG}", "--at", "4:prompt=never"]
    play = player.main if run == "v2v-run" else lambda argv: main(["run", *argv])
    assert play(words) == 0
    told = capfd.readouterr().err
    assert told.count("'the very end'") == 1
    assert "--at 4:prompt=never: the video ended before it" in told
    opened = Bundle.open(bundle)
    with VideoReader(out) as reader, Stream(opened) as stream:
        expected = []
        for text in ("the sea", " ".join(TOO_LONG.split()[:25])):
            stream.set_params(prompt_params(opened, text))
            expected += [pixel(stream)] * 2
        assert np.abs(np.subtract(expected[0], expected[2])).max() > 30
        for frame, colour in zip(reader, expected, strict=True):
            middle = frame.rgb[4:12, 4:20].reshape(-1, 3).astype(int).mean(0)
            assert np.abs(middle - colour).max() <= 8


def test_a_new_prompt_leaves_the_negative_one_as_it_is(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    begun = prompt_params(opened, "the sea", "a grey sky")
    changes = Changes(("0:prompt=a cat!", "1:negative=snow"), opened, begun)
    with Stream(opened) as stream:
        stream.set_params(begun)
        for frame, texts in enumerate((("a cat!", "a grey sky"), ("a cat!", "snow"))):
            changes.apply(stream, frame, Fraction(0))
            params = stream.snapshot().params
            for name, ids in prompt_params(opened, *texts).items():
                np.testing.assert_array_equal(params[name], ids)
    assert changes.left == ()
