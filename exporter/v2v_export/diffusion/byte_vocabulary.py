"""A vocabulary of CLIP's form and size that needs no file: for random weights.

CLIP's own has 256 byte characters, the same 256 at the end of a word, 48894 merged tokens in the order of the
merges, then start and end: 49408. This one has the same, with pairs of byte characters as its merges: letters
with letters first, so that ordinary words are merged, not only spelt.
"""

from __future__ import annotations

from itertools import product

START, END = "<|startoftext|>", "<|endoftext|>"
SIZE = 49408
_MERGES = SIZE - 2 * 256 - 2


def byte_characters() -> list[str]:
    """The 256 characters that stand for bytes (Radford et al., 2019): printable ones for themselves, first;
    the others from code point 256 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]


def byte_vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """``(vocab, merges)``: token -> id, and the pairs that are merged, first ones first."""
    characters = byte_characters()
    letters = sorted(characters, key=lambda c: (not ("a" <= c <= "z"), characters.index(c)))
    pairs = product(letters, letters)
    merges: list[tuple[str, str]] = []
    for first, second in pairs:
        # A pair that ends a word, and the same pair inside one.
        merges += [(first, second + "</w>"), (first, second)]
        if len(merges) >= _MERGES:
            break
    tokens = [*characters, *(c + "</w>" for c in characters), *("".join(pair) for pair in merges[:_MERGES])]
    vocab = {token: index for index, token in enumerate([*tokens, START, END])}
    return vocab, merges[:_MERGES]
