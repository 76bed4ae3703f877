"""A linker whose scores can be computed by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import pytest

from tokenry.card import Card
from tokenry.method import Linker, Matcher, Scored


class Sharing(Matcher):
    """Scores by the share of characters that two texts have in common."""

    threshold = 0.5
    portion = 2

    def __init__(self, left, right, calls):
        self.left, self.right = (
            [None if text is None else frozenset(text) for text in side.texts()]
            for side in (left, right)
        )
        self.same, self.calls = left is right, calls

    def score(self, left, right):
        self.calls.append(len(left))
        pairs = ((self.left[i], self.right[j]) for i, j in zip(left, right, strict=True))
        return np.array([len(a & b) / len(a | b) if a and b else np.nan for a, b in pairs])

    def nearest(self, k, least=-np.inf, rows=slice(None)):
        found = []
        for i in range(len(self.left))[rows]:
            others = [j for j in range(len(self.right)) if not (self.same and i == j)]
            score = self.score([i] * len(others), others)
            pairs = [(-s, j) for s, j in zip(score, others, strict=True) if s >= least]
            found += [(i, j, -s) for s, j in sorted(pairs)[:k]]
        left, right, score = zip(*found, strict=True) if found else ((), (), ())
        whole = np.array(left, np.int64), np.array(right, np.int64)
        return Scored(*whole, np.array(score, np.float64))


@final
@dataclass(frozen=True, kw_only=True)
class Letters(Linker):
    """The linker of `Sharing`."""

    card = Card(
        slug="letters",
        name="Letters",
        title="Letters in common",
        summary="Share of letters in common, for tests.",
        family="linking",
        have="two tables",
        want="their links",
        dial="none",
    )

    def prepare(self, left, right, aids):
        return Sharing(left, right, CALLS)


class Weighing(Sharing):
    """The same as odds, from -5 to 5."""

    threshold = 0.0

    def score(self, left, right):
        return 10 * super().score(left, right) - 5


@final
@dataclass(frozen=True, kw_only=True)
class Odds(Linker):
    """The linker of `Weighing`."""

    card = Letters.card

    def prepare(self, left, right, aids):
        return Weighing(left, right, CALLS)


CALLS = []


@pytest.fixture
def letters():
    """The linker; `letters.calls` says how many pairs each call scored."""
    CALLS.clear()
    return Letters()


@pytest.fixture
def odds():
    """A linker whose scores have no upper end that means the same text."""
    return Odds()


@pytest.fixture
def calls():
    """How many pairs each call scored."""
    CALLS.clear()
    return CALLS
