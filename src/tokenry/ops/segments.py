"""Where a text can be cut: sentences, headings, separators, and pieces packed up to a size.

All functions take and return stretches (start, end) of characters; blank ends are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from tokenry.ops.spans import Offsets

Stretch = tuple[int, int]
Size = Callable[[int, int], int]
"""Tokens between two characters."""

_SENTENCE = re.compile(
    r"(?<=[.!?\u2026])[\"'\u201d\u2019)\]]*\s+"
    r"|(?<=[\u3002\uff01\uff1f])\s*"  # full width: no blank follows
    r"|\n\s*\n"
)
_HEADING = re.compile(
    r"^(?:#{1,6}[ \t]+\S.*"  # Markdown
    r"|[ \t]*(?P<frame>={1,6})[ \t]+\S.*[ \t](?P=frame)[ \t]*"  # wikis
    r"|[A-Z][A-Z0-9 ,/()&'-]{2,60}(?=\n)"  # manual pages: capitals, not indented
    r"|\S.{0,78}\n(?:={3,}|-{3,}|~{3,})[ \t]*)$",  # underlined
    re.MULTILINE,
)
SEPARATORS = ("\n\n", "\n", ". ", "? ", "! ", " ")
"""Where a text is cut first, and where only if pieces are still too long."""


def counter(tokens: Offsets) -> Size:
    """How many tokens have a character between two places, by two searches in their offsets.

    >>> counter(np.array([(0, 3), (4, 7)]))(2, 5)
    2
    """
    starts, ends = np.ascontiguousarray(tokens[:, 0]), np.ascontiguousarray(tokens[:, 1])

    def size(start: int, end: int) -> int:
        return int(np.searchsorted(starts, end)) - int(np.searchsorted(ends, start, side="right"))

    return size


def words(text: str) -> Offsets:
    """Words and marks as tokens, where no tokenizer is at hand.

    >>> words("It's 5.").tolist()
    [[0, 2], [2, 3], [3, 4], [5, 6], [6, 7]]
    """
    found = [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]
    return np.asarray(found, dtype=np.int64).reshape(-1, 2)


def in_windows(texts: Sequence[str], size: int) -> tuple[Int[np.ndarray, " w"], list[str]]:
    """All texts in runs of so many words; whose each run is, and the runs.

    >>> in_windows(["a b c", ""], 2)[1]
    ['a b', 'c', '']
    """
    owners, parts = [], []
    for number, text in enumerate(texts):
        split = text.split()
        for start in range(0, max(len(split), 1), size):
            owners.append(number)
            parts.append(" ".join(split[start : start + size]))
    return np.asarray(owners, dtype=np.int64), parts


def best_window(
    texts: Sequence[str], size: int, score: Callable[[list[str]], Float[np.ndarray, " w"]]
) -> Float[np.ndarray, " n"]:
    """The score of each text's best run of so many words.

    >>> best_window(["a b ccc", ""], 2, lambda runs: np.array([len(run) for run in runs])).tolist()
    [3.0, 0.0]
    """
    owners, parts = in_windows(texts, size)
    best = np.full(len(texts), -np.inf)
    np.maximum.at(best, owners, score(parts))
    return best


def trimmed(text: str, start: int, end: int) -> Stretch:
    """The stretch without blanks at its ends; empty if it is blank."""
    inside = text[start:end]
    left = len(inside) - len(inside.lstrip())
    return (start + left, start + len(inside.rstrip())) if inside.strip() else (start, start)


def sentences(text: str) -> list[Stretch]:
    """Sentences: what ends with a full stop, question or exclamation mark, or an empty line.

    >>> sentences("One. Two?  Three")
    [(0, 4), (5, 9), (11, 16)]
    """
    cuts = [0, *(match.end() for match in _SENTENCE.finditer(text)), len(text)]
    return _real(text, pairwise(cuts))


def sections(text: str) -> list[Stretch]:
    r"""Sections with their headings: of Markdown, wikis, manual pages, or underlined.

    >>> sections("Intro.\n# One\nA.\n## Two\nB.")
    [(0, 6), (7, 15), (16, 25)]
    """
    cuts = sorted({0, len(text), *(match.start() for match in _HEADING.finditer(text))})
    return _real(text, pairwise(cuts))


def recursive(
    text: str,
    within: Stretch,
    size: Size,
    most: int,
    separators: Sequence[str] = SEPARATORS,
) -> list[Stretch]:
    """Pieces of at most so many tokens, cut at the first separator that helps.

    A piece that is still too long is cut at the next separator; pieces of one kind are packed
    together while they fit. What no separator cuts, such as a long number, is cut by characters.
    """
    start, end = trimmed(text, *within)
    if start == end:
        return []
    if size(start, end) <= most:
        return [(start, end)]
    at = next((i for i, mark in enumerate(separators) if text.find(mark, start, end) >= 0), None)
    if at is None:
        return _halved(text, (start, end), size, most)
    found: list[Stretch] = []
    fitting: list[Stretch] = []
    for piece in _split(text, (start, end), separators[at]):
        if size(*piece) <= most:
            fitting.append(piece)
        else:
            found += packed(fitting, size, most)
            fitting = []
            found += recursive(text, piece, size, most, separators[at + 1 :])
    return found + packed(fitting, size, most)


def packed(pieces: Iterable[Stretch], size: Size, most: int) -> list[Stretch]:
    """Neighbours together while they fit; a piece that is too long alone stays alone.

    >>> packed([(0, 2), (2, 4), (4, 9)], lambda start, end: end - start, 5)
    [(0, 4), (4, 9)]
    """
    found: list[Stretch] = []
    for start, end in pieces:
        if found and size(found[-1][0], end) <= most:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def stretches(found: Sequence[Stretch]) -> Offsets:
    """Stretches as an array."""
    made: Int[np.ndarray, "_ 2"] = np.asarray(found, dtype=np.int64).reshape(-1, 2)
    return made


def _real(text: str, cuts: Iterable[Stretch]) -> list[Stretch]:
    found = (trimmed(text, *cut) for cut in cuts)
    return [(start, end) for start, end in found if end > start]


def _split(text: str, within: Stretch, mark: str) -> list[Stretch]:
    """Cut behind each separator, so that a full stop stays with its sentence."""
    cuts = [within[0]]
    while (at := text.find(mark, cuts[-1], within[1])) >= 0:
        cuts.append(at + len(mark))
    return _real(text, pairwise([*cuts, within[1]]))


def _halved(text: str, within: Stretch, size: Size, most: int) -> list[Stretch]:
    start, end = within
    if size(start, end) <= most or end - start < 2:
        return [(start, end)]
    middle = (start + end) // 2
    halves = ((start, middle), (middle, end))
    return packed([p for half in halves for p in _halved(text, half, size, most)], size, most)
