"""Two linkers and two small tables, to compare without an optional package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from tokenry.card import Card
from tokenry.compare.linked import paired, searched
from tokenry.errors import UsageError
from tokenry.method import Linker, Matcher, Scored

HOSTILE = "<script>alert(1)</script>"
WORDS = ["red", "green", "blue", "apple", "pear", "tree", "house", "car", "road", "sky", "sea"]
ON = [("name", "title"), ("city", "city")]
ABOUT = {"name": "small", "license": "CC0-1.0", "source": "made for tests"}


class _Overlap(Matcher):
    threshold = 0.5

    def __init__(self, left, right):
        self._alone = left is right
        self._left, self._right = (
            [set((t or "").split()) for t in s.texts()] for s in (left, right)
        )

    def score(self, left, right):
        pairs = [(self._left[a], self._right[b]) for a, b in zip(left, right, strict=True)]
        return np.array([len(a & b) / len(a | b) if a and b else np.nan for a, b in pairs])

    def nearest(self, k, least=-np.inf, rows=slice(None)):
        found = []
        for a in range(len(self._left))[rows]:
            scores = self.score([a] * len(self._right), range(len(self._right)))
            order = sorted((-s, b) for b, s in enumerate(scores) if s >= max(least, 1e-9))
            order = [(s, b) for s, b in order if not (self._alone and a == b)]
            found += [(a, b, -s) for s, b in order[:k]]
        return Scored(*(np.array(c) for c in zip(*found, strict=True)))

    def parts(self, left, right):
        half = self.score(left, right) / 2
        return {"shared words": half, HOSTILE: half}


@final
@dataclass(frozen=True, kw_only=True)
class Overlap(Linker):
    """Share of the words that two records have in common."""

    card: ClassVar[Card] = Card(
        slug="overlap",
        name="Overlap",
        title="Words in common",
        summary="Share of the words in common.",
        family="linking",
        have="two tables",
        want="a linker for tests",
        dial="none",
    )

    def prepare(self, left, right, aids):
        """Split the records into words."""
        return _Overlap(left, right)


@final
@dataclass(frozen=True, kw_only=True)
class Learned(Linker):
    """The same, but it insists on known pairs."""

    card: ClassVar[Card] = Card(
        slug="learned",
        name="Learned",
        title="Words in common, learned",
        summary="Share of the words in common, once pairs are known.",
        family="linking",
        have="two tables and known pairs",
        want="a linker for tests",
        dial="none",
    )

    def prepare(self, left, right, aids):
        """Split the records into words."""
        if aids.known is None or not {0.0, 1.0} <= set(aids.known.score.tolist()):
            raise UsageError("learned: needs known pairs of both kinds.")
        return _Overlap(left, right)


def tables(count=48, seed=0):
    """A left table, a right one with a word changed in some rows, and the true links."""
    rng = np.random.default_rng(seed)
    names = [" ".join(rng.choice(WORDS, 3)) for _ in range(count)]
    cities = [str(rng.choice(WORDS)) for _ in range(count)]
    order = rng.permutation(count)[: count * 3 // 4]
    other = [names[i] if i % 3 else f"{names[i].split(' ', 1)[1]} new" for i in order]
    left = {"name": names, "city": cities, "note": [HOSTILE, None] * (count // 2)}
    right = {"title": other, "city": [cities[i] if i % 4 else None for i in order]}
    return (left, right), [(int(i), place) for place, i in enumerate(order)]


def records(count=48):
    """The tables with all their links."""
    both, links = tables(count)
    return searched(both, ON, links, **ABOUT)


def labelled(count=48, parts=("train", "valid", "test")):
    """Pairs of the same tables, half of them true."""
    both, links = tables(count)
    true = dict(links)
    pairs = [(a, b, True, parts[a % len(parts)]) for a, b in links]
    pairs += [
        (a, (b + 1) % len(links), false, parts[a % len(parts)])
        for a, b in links
        if not (false := true.get(a) == (b + 1) % len(links))
    ]
    return paired(both, ON, pairs, **ABOUT)
