"""Texts without spaces taken apart into words: the k likeliest ways, found exactly."""

from __future__ import annotations

import heapq
import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from tokenry.errors import UsageError

APOSTROPHES = "'\u2019\u02bc`\u00b4"
BREAK = "_"
"""Always stands alone and is no word."""

_JOINERS = "\u200d\u2060"
_DROPPED = str.maketrans("", "", APOSTROPHES)

Score = Callable[[str, str | None], float]
"""The log probability of a piece after the piece before it; None at the start."""


class Segmentation(NamedTuple):
    """One way to take a text apart.

    Attributes:
        score: The sum of the scores of the pieces.
        pieces: Joined, they are the text.
    """

    score: float
    pieces: tuple[str, ...]


def best_segmentations(text: str, score: Score, k: int, longest: int = 24) -> list[Segmentation]:
    """The k best of all ways to take a text apart, the best first.

    Of equal ones that comes first which is cut earlier. The state of the search is the last piece,
    so that the list is exact even where the score of a piece depends on the one before it.

    Args:
        text: The text.
        score: Of a piece after another; minus infinity for what is no piece.
        k: How many.
        longest: Characters of a piece; the whole text may always be one.

    Raises:
        UsageError: If k is below 1.

    >>> words = {"now": -1.0, "here": -1.0, "nowhere": -2.5}
    >>> best_segmentations("nowhere", lambda word, _: words.get(word, -9.0), 2)[0].pieces
    ('now', 'here')
    """
    if k < 1:
        raise UsageError(f"best_segmentations: k={k} is below 1.")
    marks = cuts(text)
    # ways[end][start]: the best ways to `end` whose last piece is text[start:end], sorted.
    ways: dict[int, dict[int, list[_Way]]] = {0: {0: [(0.0, ())]}}
    for place, end in enumerate(marks[1:], 1):
        found = {}
        for start in marks[:place]:
            if end - start <= longest or (start, end) == (0, len(text)):
                best = _best(text, ways[start], start, end, score, k)
                if best:
                    found[start] = best
        ways[end] = found
    last = heapq.merge(*ways[marks[-1]].values())
    return [Segmentation(-cost, _pieces(text, ends)) for cost, ends in islice(last, k)]


_Way = tuple[float, tuple[int, ...]]


def _best(
    text: str, before: dict[int, list[_Way]], start: int, end: int, score: Score, k: int
) -> list[_Way]:
    piece, sorted_ways = text[start:end], []
    for first, ways in before.items():
        step = score(piece, text[first:start] or None)
        if step > -math.inf:
            sorted_ways.append([(cost - step, (*ends, end)) for cost, ends in ways])
    return list(islice(heapq.merge(*sorted_ways), k))


def _pieces(text: str, ends: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(text[a:b] for a, b in zip((0, *ends), ends, strict=False))


def cuts(text: str) -> list[int]:
    """Where a text may be cut, its start and its end among the places.

    Not inside a number, an emoji of several characters, a letter with its marks, or at an
    apostrophe between letters.

    >>> cuts("don't2016"), cuts("a👩🏽‍🚀b")
    ([0, 1, 2, 5, 9], [0, 1, 5, 6])
    """
    kept = [0]
    flags = 0
    for at in range(1, len(text)):
        before, after = text[at - 1], text[at]
        flags = flags + 1 if _is_flag(before) else 0
        if not (_clings(before, after) or (flags % 2 and _is_flag(after))):
            kept.append(at)
    return [*kept, len(text)] if text else [0]


def _clings(before: str, after: str) -> bool:
    code = ord(after)
    return (
        unicodedata.category(after)[0] == "M"
        or after in _JOINERS
        or before in _JOINERS
        or after in APOSTROPHES
        or before in APOSTROPHES
        or (before.isdigit() and after.isdigit())
        or 0x1F3FB <= code <= 0x1F3FF
        or 0xE0020 <= code <= 0xE007F
    )


def _is_flag(one: str) -> bool:
    return 0x1F1E6 <= ord(one) <= 0x1F1FF


def case_breaks(text: str) -> set[int]:
    """Where the writing of a text itself marks a new word: upper case, digits, underscores.

    Of a run of upper case the last letter begins a word if lower case follows it. A text without
    lower case has no such places but at digits and underscores.

    >>> sorted(case_breaks("iLoveNYC2016")), sorted(case_breaks("USAToday"))
    ([1, 5, 8], [3])
    """
    kinds = [_kind(one) for one in text]
    found = set()
    for at in range(1, len(text)):
        before, after = kinds[at - 1], kinds[at]
        ends_run = before == after == "upper" and kinds[at + 1 : at + 2] == ["lower"]
        changed = before != after and (before, after) != ("upper", "lower")
        if (changed and "other" not in (before, after)) or ends_run:
            found.add(at)
    return found


def _kind(one: str) -> str:
    if one == BREAK:
        return "break"
    if one.isdigit():
        return "digit"
    return "upper" if one.isupper() else "lower" if one.isalpha() else "other"


def folded(word: str) -> str:
    """A word as counts know it: in lower case, without apostrophes."""
    return word.casefold().translate(_DROPPED)


class _Memo(dict[str, Any]):
    """What a function says of texts, each asked for once."""

    def __init__(self, function: Callable[[str], Any]) -> None:
        super().__init__()
        self.function = function

    def __missing__(self, text: str) -> Any:
        self[text] = self.function(text)
        return self[text]


@dataclass(frozen=True, eq=False, kw_only=True)
class WordModel:
    r"""How likely words are, alone and after another.

    A word has the share of its count; one that is not known has $10 / (N 10^{|w|})$, so that long
    unknown words are less likely than short ones. A number of n digits has $10^{-2-n}$, and signs
    without a letter have $10^{-4}$, as counts do not hold them. After another word it has the share
    of the pair's count, and where the pair is not known, its own.

    Attributes:
        words: Counts by folded word.
        pairs: Counts by two folded words with a space between.
        total: N, the count of all words.
        titles: Least probability of further words, such as names.

    Source: Norvig 2009, Natural Language Corpus Data.
    """

    words: Mapping[str, float]
    pairs: Mapping[str, float]
    total: float
    titles: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, words: Sequence[str | None], counts: Sequence[float | int]) -> WordModel:
        """A model from counts of words, and of pairs with a space between; N is their sum."""
        table = {
            folded(word): float(count) for word, count in zip(words, counts, strict=True) if word
        }
        alone = {word: count for word, count in table.items() if " " not in word}
        pairs = {word: count for word, count in table.items() if " " in word}
        return cls(words=alone, pairs=pairs, total=max(1.0, sum(alone.values())))

    def alone(self, word: str) -> float:
        """The log probability of a word; of an underscore 0.

        >>> model = WordModel(words={"now": 20.0}, pairs={}, total=100.0)
        >>> round(model.alone("Now"), 3), round(model.alone("xy"), 3)
        (-1.609, -6.908)
        """
        if word == BREAK:
            return 0.0
        if BREAK in word:
            return -math.inf
        key = folded(word)
        return math.log(max(self.share(key) or self._unknown(key), self.titles.get(key, 0.0)))

    def share(self, key: str) -> float:
        """The share of a folded word's count; 0 where it is not known."""
        return self.words.get(key, 0.0) / self.total

    def _unknown(self, key: str) -> float:
        if key.isdigit():
            return 10.0 ** -min(2 + len(key), 200)
        if not any(one.isalnum() for one in key):
            return 1e-4
        return 10 / (self.total * 10.0 ** min(len(key), 200))

    def best(self, text: str, k: int) -> list[Segmentation]:
        """The k likeliest ways to take a text apart."""
        keys, alone = _Memo(folded), _Memo(self.alone)
        return best_segmentations(
            text,
            lambda piece, before: (
                self.after(piece, before)
                if before is not None and f"{keys[before]} {keys[piece]}" in self.pairs
                else alone[piece]
            ),
            k,
        )

    def after(self, word: str, previous: str | None) -> float:
        """The log probability of a word after another."""
        if previous is not None:
            first = folded(previous)
            pair = self.pairs.get(f"{first} {folded(word)}")
            if pair and self.words.get(first):
                # Pairs and words were counted apart; a share is at most 1.
                return min(0.0, math.log(pair / self.words[first]))
        return self.alone(word)
