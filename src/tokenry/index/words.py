"""Which words of a document answer the words of a query."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from itertools import takewhile

from tokenry.index.documents import Match

_ANCHORS = 64
"""Places of the rarest word around which the others are looked for."""

Span = tuple[int, int]


def word_matches(query: str, text: str, places: Sequence[Span]) -> tuple[Match, ...]:
    """One place for each word of a query that a document says, as near together as they stand.

    Args:
        query: What was asked.
        text: Of the document.
        places: Where it says a word of the query, in whatever form, in order.

    >>> found = word_matches("a blue sky", "a cat under a blue sky", [(0, 1), (12, 13), (14, 18)])
    >>> [match.document for match in found]
    [(12, 13), (14, 18)]
    """
    asked = [(word.span(), _plain(word[0])) for word in re.finditer(r"\w+", query)]
    if not (asked and places):
        return ()
    known: dict[str, Span] = {}
    said: dict[Span, list[Span]] = {}
    for start, stop in places:
        form = text[start:stop]
        if form not in known:
            known[form] = _nearest_word(_plain(form), asked)
        said.setdefault(known[form], []).append((start, stop))
    rarest = min(said.values(), key=len)
    around = min((_around(at, said) for at, _ in rarest[:_ANCHORS]), key=_reach)
    return tuple(Match(word, around[word], 1.0) for word in sorted(around))


def _nearest_word(form: str, asked: list[tuple[Span, str]]) -> Span:
    """The query's word that a form of it begins like; the first of several."""

    def shared(word: tuple[Span, str]) -> int:
        letters = zip(form, word[1], strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], letters))

    return max(asked, key=shared)[0]


def _around(place: int, said: dict[Span, list[Span]]) -> dict[Span, Span]:
    """For each word, where it stands nearest to a place."""
    found = {}
    for word, places in said.items():
        at = bisect_left(places, (place, 0))
        found[word] = min(places[max(0, at - 1) : at + 1], key=lambda one: abs(one[0] - place))
    return found


def _reach(around: dict[Span, Span]) -> int:
    starts = [start for start, _ in around.values()]
    return max(starts) - min(starts)


def _plain(word: str) -> str:
    """Without case and marks, which a search passes over, too."""
    letters = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
