"""What a short name may stand for, in the words of a given vocabulary."""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass

_WORD = re.compile(r"[^\W\d_]+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[^\W\d_A-Z]+|[A-Z][^\W\d_A-Z]*|\d+")
_SHORTEST = 2  # letters of a part that is expanded; one letter could be anything
_KEPT = 3  # readings of each part that are combined
_LONGEST = 6  # parts of a name that are read in several ways
_UNKNOWN = 1.5  # the price of leaving a part as it is when it is no word of the vocabulary


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words, and which of them follow each other.

    Attributes:
        words: Each word once, by its first letter.
        pairs: Adjacent words, by the first letter of the first.
    """

    words: dict[str, tuple[str, ...]]
    pairs: dict[str, tuple[tuple[str, str], ...]]


def lexicon(texts: Iterable[str]) -> Lexicon:
    """The words of texts, in lower case.

    >>> lexicon(["Labor force"]).pairs
    {'l': (('labor', 'force'),)}
    """
    lists = [_WORD.findall(text.lower()) for text in texts]
    words: dict[str, dict[str, None]] = {}
    pairs: dict[str, dict[tuple[str, str], None]] = {}
    for row in lists:
        for word in row:
            words.setdefault(word[0], {})[word] = None
        for pair in itertools.pairwise(row):
            pairs.setdefault(pair[0][0], {})[pair] = None
    return Lexicon(
        {first: tuple(sorted(some)) for first, some in words.items()},
        {first: tuple(sorted(some)) for first, some in pairs.items()},
    )


def parts(name: str) -> list[str]:
    """The parts of a column's name, in lower case: at marks, digits and capitals.

    >>> parts("cust_birthDate2"), parts("GNPDEFL")
    (['cust', 'birth', 'date', '2'], ['gnpdefl'])
    """
    return [part.lower() for part in _PART.findall(name)]


def abbreviates(short: str, word: str) -> bool:
    """Whether letters of a word, its first among them, are `short` in this order.

    >>> abbreviates("qty", "quantity"), abbreviates("qty", "equity")
    (True, False)
    """
    if not short or short[0] != word[0] or len(short) > len(word):
        return False
    letters = iter(word)
    return all(letter in letters for letter in short)


def expansions(name: str, known: Lexicon, count: int) -> list[str]:
    """What a name may stand for, the likeliest first.

    A part stands for itself, for a word that it abbreviates, or for two adjacent words. Of these
    the ones that leave out fewest letters come first; beginnings before other abbreviations.

    Args:
        name: As it stands in the table.
        known: The words that may be meant.
        count: So many at most.

    >>> expansions("lforce_qty", lexicon(["labor force", "quantity"]), 1)
    ['labor force quantity']
    """
    found = parts(name)
    most = _KEPT if len(found) <= _LONGEST else 1
    readings = [heapq.nsmallest(most, _readings(part, known)) for part in found]
    whole = (
        (sum(price for price, _ in one), " ".join(text for _, text in one))
        for one in itertools.product(*readings)
    )
    best = dict.fromkeys(text for _, text in heapq.nsmallest(count, whole) if text)
    return list(best)


def _readings(part: str, known: Lexicon) -> list[tuple[float, str]]:
    """What a part may stand for, with a price each."""
    words = known.words.get(part[0], ())
    if part in words or part.isdigit():
        return [(0.0, part)]
    found = [(_UNKNOWN, part)]
    if len(part) < _SHORTEST:
        return found
    found += [(_price(part, word), word) for word in words if abbreviates(part, word)]
    for first, second in known.pairs.get(part[0], ()):
        prices = [
            0.1 + (_price(part[:cut], first) + _price(part[cut:], second)) / 2
            for cut in range(1, min(len(part), len(first) + 1))
            if first.startswith(part[:cut]) and abbreviates(part[cut:], second)
        ]
        if prices:
            found.append((min(prices), f"{first} {second}"))
    return found


def _price(short: str, word: str) -> float:
    return 1 - len(short) / len(word) + (0.0 if word.startswith(short) else 0.25)
