"""Words that a tokenizer cuts into many pieces, and texts cut into tokens for a reader."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tokenry.compare.audits import Split

if TYPE_CHECKING:
    from tokenry.method import Usage, Vocab

LOOKED_AT = 2**16
"""Tokens of a category that are searched for words."""
EXAMPLE = 220
"""Tokens of an example."""
_FEWEST = 3
_LETTERS = re.compile(r"\w")


def worst(vocab: Vocab, usage: Usage, most: int = 12) -> tuple[Split, ...]:
    """The words of a category that cost the most tokens beyond one each, all occurrences together.

    Words that occur once, such as keys and addresses, come last.

    Args:
        vocab: The vocabulary.
        usage: How the category is written with it.
        most: At most so many words.
    """
    words: Counter[tuple[int, ...]] = Counter()
    left = LOOKED_AT
    for row in usage.sequences:
        words.update(_words(vocab, row[:left].tolist()))
        left -= len(row)
        if left <= 0:
            break
    cost = {word: (len(word) - 1) * n for word, n in words.items() if len(word) >= _FEWEST}
    found: dict[str, Split] = {}
    for word in sorted(cost, key=lambda one: (words[one] == 1, -cost[one])):
        pieces = pieces_of(vocab, word)
        text = "".join(pieces).strip()
        if _LETTERS.search(text) and "\ufffd" not in text and text not in found:
            found[text] = Split(pieces, words[word])
        if len(found) == most:
            break
    return tuple(found.values())


def pieces_of(vocab: Vocab, ids: Iterable[int]) -> tuple[str, ...]:
    """Tokens as text; a character of several tokens stands with the last of them."""
    found, rest = [], b""
    for token in ids:
        spelled = vocab.spelled[token]
        rest += (f"[{vocab.pieces[token]}]".encode()) if spelled is None else spelled
        try:
            found.append(rest.decode())
            rest = b""
        except UnicodeDecodeError as error:
            cut_off = error.reason == "unexpected end of data"
            found.append("\u2026" if cut_off else rest.decode(errors="replace"))
            rest = rest if cut_off else b""
    return tuple(found)


def _words(vocab: Vocab, ids: Sequence[int]) -> Iterable[tuple[int, ...]]:
    """Runs of tokens without a blank between them or in them."""
    word: list[int] = []
    closed = True
    for token in ids:
        spelled = vocab.spelled[token] or b"?"
        if closed or spelled[:1].isspace():
            yield tuple(word)
            word = []
        word.append(token)
        closed = spelled[-1:].isspace()
    yield tuple(word)
