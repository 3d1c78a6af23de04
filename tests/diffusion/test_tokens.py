"""Tokenizers as a bundle carries them against transformers' own, on the same files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import CLIPTokenizer
from v2v_export.diffusion.byte_vocabulary import END, SIZE, START, byte_characters, byte_vocabulary
from v2v_export.diffusion.prompt_errors import PromptError
from v2v_export.diffusion.tokens import load_tokenizers
from v2v_runtime.prompt import Tokenizer

TEXTS = [
    "",
    "A watercolour of a cat, by the sea!",
    "don't we'll I'm they've 'quoted' it's",
    "  spaces\n\tand tabs  ",
    "naïve café, e\u0301 composed, ﬁ ligature, ß, İstanbul",
    "日本の絵 🎨👩‍🎨 Ünïcödé",
    "1234567890 3.14 x2",
    "(masterpiece:1.2), [best] {quality} <lora:style:0.8> !!?! !",
    "<|endoftext|> inside <|startoftext|> and <|ENDOFTEXT|>",
    "\u200bzero\u00a0width\x00nul",
    "end",
]


def folder(root: Path, **configs: dict[str, Any]) -> Path:
    """A pipeline's folder as it is published: vocab.json, merges.txt and two small configs each."""
    vocab, merges = byte_vocabulary()
    for name, config in configs.items():
        place = root / name
        place.mkdir(parents=True)
        (place / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
        lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
        (place / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        named = {"tokenizer_class": "CLIPTokenizer", "bos_token": START, "eos_token": END, "unk_token": END}
        document = {**named, "pad_token": END, "model_max_length": 77, **config}
        (place / "tokenizer_config.json").write_text(json.dumps(document))
    return root


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("sdxl"), tokenizer={}, tokenizer_2={"pad_token": "!"})


@pytest.fixture(scope="module")
def both(pipeline: Path) -> tuple[Tokenizer, ...]:
    return Tokenizer.from_tensors(load_tokenizers(str(pipeline), 2))


def test_every_text_as_transformers(pipeline: Path, both: tuple[Tokenizer, ...]) -> None:
    for tokenizer, part in zip(both, ("tokenizer", "tokenizer_2"), strict=True):
        theirs = CLIPTokenizer.from_pretrained(str(pipeline / part))
        expected = theirs(TEXTS, padding="max_length", max_length=77, truncation=True).input_ids
        np.testing.assert_array_equal(tokenizer.rows(TEXTS), expected)
    first, second = (tokenizer.rows(["a cat!"])[0] for tokenizer in both)
    assert (first[4], second[4]) == (256, 0), "the second reads its pad token inside the prompt, too"


@pytest.mark.filterwarnings("ignore::v2v_runtime.prompt.CutPrompt")
def test_random_unicode_as_transformers(pipeline: Path, both: tuple[Tokenizer, ...]) -> None:
    generator = np.random.default_rng(0)
    pools = [list(range(32, 127)), list(range(0xA0, 0x250)), [0x301, 0x308, 0x200D, 0x1F3A8, 0x4E00, 0x0E33]]
    texts = []
    for _ in range(200):
        pool = pools[generator.integers(3)] + pools[0]
        texts.append(
            "".join(chr(pool[i]) for i in generator.integers(0, len(pool), generator.integers(1, 40)))
        )
    theirs = CLIPTokenizer.from_pretrained(str(pipeline / "tokenizer_2"))
    expected = theirs(texts, padding="max_length", max_length=77, truncation=True).input_ids
    np.testing.assert_array_equal(both[1].rows(texts), expected)


def test_what_is_too_long_as_transformers(pipeline: Path, both: tuple[Tokenizer, ...]) -> None:
    text = " ".join(f"word{i}" for i in range(60))
    theirs = CLIPTokenizer.from_pretrained(str(pipeline / "tokenizer"))
    expected = theirs(text, padding="max_length", max_length=77, truncation=True).input_ids
    counts = [len(theirs(word, add_special_tokens=False).input_ids) for word in text.split()]
    cut = np.cumsum(counts).tolist().index(75) + 1  # this many words fill the row, to the last token
    with pytest.warns(UserWarning, match=rf"of {sum(counts)} tokens was cut to 75; .* from 'word{cut} "):
        np.testing.assert_array_equal(both[0].rows([text])[0], expected)


def test_from_tokenizer_json(pipeline: Path, tmp_path: Path) -> None:
    """Folders that hold the one new file in place of vocabulary and merges."""
    CLIPTokenizer.from_pretrained(str(pipeline / "tokenizer")).save_pretrained(str(tmp_path / "tokenizer"))
    assert not (tmp_path / "tokenizer" / "vocab.json").exists()
    (old,) = Tokenizer.from_tensors(load_tokenizers(str(pipeline)))
    (new,) = Tokenizer.from_tensors(load_tokenizers(str(tmp_path)))
    (own,) = Tokenizer.from_tensors(load_tokenizers(str(tmp_path / "tokenizer")))
    np.testing.assert_array_equal(new.rows(TEXTS), old.rows(TEXTS))
    np.testing.assert_array_equal(own.rows(TEXTS), old.rows(TEXTS))
    assert old.length == new.length == 77


def test_the_same_bytes_every_time(pipeline: Path) -> None:
    for value in (str(pipeline), "random:0"):
        first, again = load_tokenizers(value, 2), load_tokenizers(value, 2)
        assert {name: bytes(item) for name, item in first.items()} == {
            name: bytes(item) for name, item in again.items()
        }
        assert all(item.dtype == np.uint8 for item in first.values())


def test_random_weights_need_no_file() -> None:
    first, second = Tokenizer.from_tensors(load_tokenizers("random:5", 2))
    assert first.rows([""])[0].tolist() == [49406] + [49407] * 76
    assert second.rows([""])[0].tolist() == [49406, 49407] + [0] * 75
    encoded = first.encode("a cat")
    assert encoded.used == 3, "'a', 'ca' and 't' at the end of a word"
    assert first.encode("cat").ids.max() == 49407


def test_the_byte_vocabulary_has_clip_s_form() -> None:
    vocab, merges = byte_vocabulary()
    assert len(vocab) == SIZE == 49408
    assert sorted(vocab.values()) == list(range(SIZE))
    assert (vocab["!"], vocab["!</w>"], vocab[START], vocab[END]) == (0, 256, 49406, 49407)
    assert len(merges) == len(set(merges)) == 48894
    assert all(first in vocab and second in vocab and first + second in vocab for first, second in merges)
    characters = byte_characters()
    assert len(set(characters)) == 256
    assert characters[:3] == ["!", '"', "#"]
    # GPT-2's table: a space is written as the letter G with a dot, a line's end as C with one.
    table = dict(zip([*range(33, 127), *range(161, 173), *range(174, 256)], characters, strict=False))
    assert table[ord("a")] == "a"
    assert characters[188 + 32] == "\u0120"
    assert characters[188 + 10] == "\u010a"


def test_a_folder_without_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"V2V-E6164.*no tokenizer"):
        load_tokenizers(str(tmp_path))


def test_a_folder_with_one_of_two(tmp_path: Path) -> None:
    folder(tmp_path, tokenizer={})
    with pytest.raises(PromptError, match=r"(?s)V2V-E6164.*tokenizer_2/"):
        load_tokenizers(str(tmp_path), 2)


def test_files_that_are_no_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("{}")
    with pytest.raises(PromptError, match="V2V-E6164"):
        load_tokenizers(str(tmp_path))
