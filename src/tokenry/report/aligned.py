"""Two records side by side: which words they share, and which are only alike."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from tokenry.report import words

ALIKE = 0.7
"""Share of common letters from which on two words count as alike."""
TOKENS, FIELDS, LENGTH = 60, 12, 600
"""Words of a value, values of a record and characters of a value that are shown."""
_TOKEN = re.compile(r"\w+|[^\w\s]+|\s+")

Marked = list[tuple[str, str]]
"""Pieces of a text with what they are on the other side: same, alike, alone or nothing."""


def aligned(left: str, right: str) -> tuple[Marked, Marked]:
    """Both texts in pieces, each marked by what stands on the other side.

    Args:
        left: One text.
        right: The other one.

    >>> aligned("Art's Deli", "Arts Delicatessen")[1]
    [('alike', 'Arts'), ('', ' '), ('alone', 'Delicatessen')]
    """
    texts = [_TOKEN.findall(text[:LENGTH])[: 2 * TOKENS] for text in (left, right)]
    found = [["" if not _word(token) else "alone" for token in text] for text in texts]
    folded = [[token.casefold() for token in text] for text in texts]
    same = Counter(folded[0]) & Counter(folded[1])
    for side in (0, 1):
        left_over = Counter(same)
        for i, token in enumerate(folded[side]):
            if found[side][i] and left_over[token]:
                left_over[token] -= 1
                found[side][i] = "same"
    for i, token in enumerate(folded[0]):
        if found[0][i] == "alone":
            _pair(token, i, folded[1], found)
    return tuple(  # type: ignore[return-value]
        [(kind, words.piece(token)) for kind, token in zip(kinds, text, strict=True)]
        for kinds, text in zip(found, texts, strict=True)
    )


def fields(
    left: Mapping[str, str], right: Mapping[str, str], keys: Sequence[str]
) -> list[dict[str, Any]]:
    """A row for each column that either record has, the keys first, with both values marked.

    Args:
        left: One record.
        right: The other one.
        keys: The columns that were compared.
    """
    names = list(dict.fromkeys([*(k for k in keys if k in left or k in right), *left, *right]))
    rows = []
    for name in names[:FIELDS]:
        one, other = aligned(left.get(name, ""), right.get(name, ""))
        rows.append(
            {
                "name": words.clean(name, 40),
                "key": name in keys,
                "left": one if name in keys else _plain(one),
                "right": other if name in keys else _plain(other),
            }
        )
    return rows


def _pair(token: str, place: int, others: Sequence[str], found: list[list[str]]) -> None:
    """Mark a word and the one on the other side that is most like it, if any is."""
    best, at = ALIKE, -1
    for i, other in enumerate(others):
        if found[1][i] == "alone" and abs(len(other) - len(token)) <= max(len(token), len(other)):
            alike = SequenceMatcher(None, token, other, autojunk=False).ratio()
            if alike > best:
                best, at = alike, i
    if at >= 0:
        found[0][place] = found[1][at] = "alike"


def _word(token: str) -> bool:
    return any(character.isalnum() for character in token)


def _plain(marked: Marked) -> Marked:
    """What was not compared is not marked."""
    return [("", "".join(piece for _, piece in marked))]
