"""Prompts that are cut or refused, and tokenizers that are not there."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from tokenizers import Tokenizer as Engine
from tokenizers import models, pre_tokenizers
from v2v_runtime.errors import StreamError
from v2v_runtime.prompt import CutPrompt, Tokenizer

WORDS = ["the", "quick", "brown", "fox", "jumps", "over"]
START, END, PAD = 10, 11, 12


def definition() -> str:
    """A tokenizer of whole words: what each word becomes is plain."""
    engine = Engine(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="the"))
    engine.pre_tokenizer = pre_tokenizers.Whitespace()
    return engine.to_str()


def config(length: int = 6) -> dict[str, int]:
    return {"length": length, "start": START, "end": END, "pad": PAD}


def test_start_prompt_end_padding() -> None:
    encoded = Tokenizer(definition(), config()).encode("quick fox")
    assert encoded.ids.tolist() == [START, 1, 3, END, PAD, PAD]
    assert encoded.ids.dtype == np.int64
    assert (encoded.used, encoded.dropped) == (2, "")


def test_a_prompt_that_just_fits() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoded = Tokenizer(definition(), config()).encode("the quick brown fox")
    assert encoded.ids.tolist() == [START, 0, 1, 2, 3, END]
    assert encoded.dropped == ""


def test_what_is_cut_is_named() -> None:
    told = r"6 tokens was cut to 4; left out is the text from 'jumps over' on"
    with pytest.warns(CutPrompt, match=told):
        encoded = Tokenizer(definition(), config()).encode("the quick brown fox jumps  over ")
    assert encoded.ids.tolist() == [START, 0, 1, 2, 3, END]
    assert (encoded.used, encoded.dropped) == (4, "jumps  over")


def test_strict_refuses_what_would_be_cut() -> None:
    with pytest.raises(StreamError, match=r"(?s)V2V-E3083.*5 tokens, 1 too many: from 'jumps' on") as caught:
        Tokenizer(definition(), config()).rows(["fox", "the quick brown fox jumps"], strict=True)
    assert caught.value.expected.startswith("at most 4 tokens")


@pytest.mark.parametrize(
    ("tail", "shown"),
    [
        # Sixty letters end inside the tenth "jumps" (ten times six letters, the last one a space).
        (" jumps" * 3000, "'" + "jumps " * 10 + "...'"),
        # A language without spaces is cut where it stands.
        ("x" * 5000, "'" + "x" * 60 + " ...'"),
        # Lines are told as one.
        (" jumps\n\n\tover " + "the " * 40, "'jumps over " + "the " * 12 + "...'"),
    ],
    ids=["words", "letters", "lines"],
)
def test_a_page_is_told_by_its_beginning(tail: str, shown: str) -> None:
    text = "the quick brown fox" + (tail if tail[0] == " " else " " + tail)
    tokenizer = Tokenizer(definition(), config())
    with pytest.warns(CutPrompt) as told:
        encoded = tokenizer.encode(text)
    assert encoded.dropped == text[19:].strip(), "all of it for who asks"
    assert shown in str(told[0].message)
    with pytest.raises(StreamError) as caught:
        tokenizer.encode(text, strict=True)
    assert shown in caught.value.seen
    assert len(str(told[0].message)) < 200
    assert len(caught.value.seen) < 200


def test_rows() -> None:
    rows = Tokenizer(definition(), config(4)).rows(["", "fox"])
    assert rows.tolist() == [[START, END, PAD, PAD], [START, 3, END, PAD]]


def tensors(**parts: bytes) -> dict[str, np.ndarray]:
    return {name: np.frombuffer(data, np.uint8) for name, data in parts.items()}


def test_from_a_bundle_s_tensors() -> None:
    parts = {"tokenizer_1": definition().encode(), "tokenizer_2": definition().encode()}
    document = json.dumps([config(4), {**config(4), "pad": 0}]).encode()
    first, second = Tokenizer.from_tensors(tensors(**parts, config=document))
    assert first.rows([""]).tolist() == [[START, END, PAD, PAD]]
    assert second.rows([""]).tolist() == [[START, END, 0, 0]]


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"config": b"[{}]"},
        {"config": b"[", "tokenizer_1": b"{}"},
        {"config": b"7", "tokenizer_1": b"{}"},
        {"config": json.dumps([config()]).encode(), "tokenizer_1": b"{}"},
        {"config": json.dumps([config()]).encode(), "tokenizer_1": b"\xff"},
        {"config": json.dumps([{"length": 77}]).encode(), "tokenizer_1": definition().encode()},
    ],
)
def test_what_is_no_tokenizer(parts: dict[str, bytes]) -> None:
    with pytest.raises(StreamError, match="V2V-E3082"):
        Tokenizer.from_tensors(tensors(**parts))


def test_without_the_package() -> None:
    """The import of v2v_runtime.prompt works everywhere; using it says what to install."""
    code = """
import sys
sys.modules["tokenizers"] = None
from v2v_runtime.prompt import Tokenizer
try:
    Tokenizer("{}", {})
except Exception as error:
    print(error.code, "v2v-runtime[prompt]" in error.fix)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["V2V-E3080", "True"]


def test_importing_it_loads_no_package() -> None:
    code = "import sys, v2v_runtime.prompt; print('tokenizers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
