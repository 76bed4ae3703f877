"""The baseline below all: the same text or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from scipy import sparse

from tokenry.card import Card
from tokenry.method import Aids, Linker, Matcher, PresentMatcher, Side
from tokenry.method.linker import Rows, Scores
from tokenry.ops.nearest import Ranked, sparse_nearest


@final
@dataclass(frozen=True, kw_only=True)
class Exact(Linker):
    """Scores 1 where the normalised key columns are the same text, else 0.

    Args:
        threshold: The score from which on a pair is a match; None for 1.

    Raises:
        UsageError: If a setting is out of range.

    >>> left = Side(columns={"name": ["ada", None]}, keys=("name",), count=2)
    >>> right = Side(columns={"name": ["bob", "ada"]}, keys=("name",), count=2)
    >>> Exact().prepare(left, right, Aids()).nearest(1)
    Scored(left=array([0]), right=array([1]), score=array([1.]))
    """

    top: ClassVar[float] = 1.0
    card: ClassVar[Card] = Card(
        slug="exact",
        name="Exact",
        title="The same text, once case, punctuation and spaces do not count",
        summary="What a plain join would find; whatever is more costly has to beat it.",
        family="linking",
        have="two tables with a common key, written the same way in both",
        want="the matches that nobody doubts, at once",
        dial="none: a linker has no share of tokens to keep",
    )

    def prepare(self, left: Side, right: Side, aids: Aids) -> Matcher:
        """Number the texts of both tables."""
        texts = left.texts()
        others = texts if right is left else right.texts()
        return _Same(texts, others, 1.0 if self.threshold is None else self.threshold)


class _Same(PresentMatcher):
    def __init__(
        self, left: Sequence[str | None], right: Sequence[str | None], threshold: float
    ) -> None:
        super().__init__(left, right, threshold)
        numbers: dict[str, int] = {}
        self._numbers = [
            np.array([numbers.setdefault(text, len(numbers)) for text in side], np.int64)
            for side in (self.left, self.right)
        ]
        self._width = len(numbers)

    def pairs(self, left: Rows, right: Rows) -> Scores:
        """1 where the texts are the same."""
        same: Scores = (self._numbers[0][left] == self._numbers[1][right]).astype(np.float64)
        return same

    def best(self, k: int, least: float, rows: slice) -> Ranked:
        """The right rows of the same text; others where it is asked for scores of 0."""
        left, right = (
            sparse.csr_array(
                (np.ones(len(side)), side, np.arange(len(side) + 1)), (len(side), self._width)
            )
            for side in self._numbers
        )
        return sparse_nearest(left, right, k, least, itself=self.itself, rows=rows)
