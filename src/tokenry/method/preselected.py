"""A matcher that looks closely at a few right rows of each left row, and at nothing else."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from jaxtyping import Bool, Float

from tokenry.method.linker import Matcher, Rows, Scored, Scores
from tokenry.ops.nearest import ALL, first_of_each, nearest_by, rounded


class PreselectedMatcher(Matcher):
    """Scores pairs that were selected before; all other pairs of rows that are there score 0.

    Nothing is asked before a score is wanted, then all selected pairs of the left row at once, and
    each once.

    Args:
        selected: The pairs, none twice; their scores are not read.
        left: Which left rows have something to compare.
        right: Which right rows have.
        itself: Whether a row may be paired with the right row of its own number.
        threshold: The score from which on a pair counts as a match.
    """

    portion = 32

    def __init__(
        self,
        selected: Scored,
        left: Bool[np.ndarray, " n"],
        right: Bool[np.ndarray, " c"],
        itself: bool,
        threshold: float,
    ) -> None:
        self.threshold, self.itself = threshold, itself
        self._there = left, right
        order = np.lexsort((selected.right, selected.left))
        self._left, self._right = selected.left[order], selected.right[order]
        self._codes = self._left * max(1, len(right)) + self._right
        self._scores = np.full(len(order), np.nan)
        self._asked = np.zeros(len(left), dtype=bool)

    @abstractmethod
    def ask(self, left: Rows, right: Rows) -> Scores:
        """The score of selected pairs, all those of a left row together; NaN counts as 0."""

    def score(self, left: Rows, right: Rows) -> Scores:
        """What was found of selected pairs, 0 of others; NaN where a side is empty."""
        left, right = np.asarray(left, dtype=np.int64), np.asarray(right, dtype=np.int64)
        self._look(left)
        return np.where(
            self._there[0][left] & self._there[1][right], self._held(left, right), np.nan
        )

    def nearest(self, k: int, least: float = -np.inf, rows: slice = ALL) -> Scored:
        """The k best right rows of each left row."""
        start, stop, _ = rows.indices(len(self._asked))
        self._look(np.arange(start, stop))
        if least > 0:
            own = slice(*np.searchsorted(self._left, (start, stop)))
            pairs = self._left[own], self._right[own], self._scores[own]
            return Scored(*first_of_each(*pairs, k, float(least)))

        def tile(some: slice, others: slice) -> Float[np.ndarray, "t u"]:
            both = np.arange(some.start, some.stop), np.arange(others.start, others.stop)
            left, right = (one.ravel() for one in np.meshgrid(*both, indexing="ij"))
            return self.score(left, right).reshape(len(both[0]), len(both[1]))

        shape = len(self._there[0]), len(self._there[1])
        found = nearest_by(tile, shape, k, float(least), itself=self.itself, rows=rows)
        return Scored(*found)

    def _look(self, left: Rows) -> None:
        """Ask about rows that nobody wanted to know of before."""
        new = np.isin(self._left, left) & ~self._asked[self._left]
        if new.any():
            self._scores[new] = rounded(np.nan_to_num(self.ask(self._left[new], self._right[new])))
        self._asked[left] = True

    def _held(self, left: Rows, right: Rows) -> Scores:
        if not len(self._codes):
            return np.zeros(len(left))
        codes = left * len(self._there[1]) + right
        place = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        return np.where(self._codes[place] == codes, self._scores[place], 0.0)
