"""Byte-pair merges replayed on words: what every pair counts before and after each of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int

from tokenry.errors import UsageError


class Replay:
    """Words to which merges are applied one by one, with the counts of all adjacent pairs.

    A pair counts in every window: `aaa` holds `(a, a)` twice, as trainers count. A merge takes
    its pairs from left to right, without overlap: `aaa` becomes `(aa) a`. The cost of a merge is
    that of its occurrences, however long the words are.

    Args:
        words: The symbols of each word, none below 0 or above 2^31 - 1.
        counts: How often each word occurs; a row per kind of text where several are counted
            beside each other. Every word once when not given.

    Raises:
        UsageError: If words and counts are not of one number.

    >>> replay = Replay([[0, 0, 0, 1]], [5])
    >>> replay.count(0, 0), replay.count(0, 1)
    (array([10.]), array([5.]))
    >>> [replay.pairs[row] for row in replay.merge(0, 0, 2)]
    [(0, 0), (2, 0)]
    >>> replay.symbols()
    [[2, 0, 1]]
    """

    def __init__(
        self,
        words: Sequence[Sequence[int]],
        counts: Float[np.ndarray, "k w"] | Sequence[int] | None = None,
    ) -> None:
        weights = np.ones(len(words)) if counts is None else np.asarray(counts, float)
        self._weights = np.atleast_2d(weights)
        if self._weights.shape[1] != len(words):
            raise UsageError(
                f"Replay: {self._weights.shape[1]} counts for {len(words)} words; each word "
                "needs one."
            )
        sizes = np.fromiter(map(len, words), np.int64, len(words))
        end = self._end = int(sizes.sum())  # one slot more, which stands for "no neighbour"
        flat = (symbol for word in words for symbol in word)
        self._symbol = np.append(np.fromiter(flat, np.int64, end), -1)
        self._word = np.append(np.repeat(np.arange(len(words)), sizes), -1)
        place = np.arange(end)
        last = self._word[1:] != self._word[:-1]
        self._next = np.append(np.where(last, end, place + 1), end)
        first = np.append(True, last[:-1]) if end else last
        self._previous = np.append(np.where(first, end, place - 1), end)
        self._rows: dict[int, int] = {}
        self._counts = np.zeros((1024, len(self._weights)))
        self._places: list[list[Int[np.ndarray, " c"]]] = []
        self.pairs: list[tuple[int, int]] = []
        """Every pair that was ever met; a pair's number in this list is its row."""
        none = np.empty(0, np.int64)
        self._change(none, none, place[~last])

    @property
    def counts(self) -> Float[np.ndarray, "p k"]:
        """How often each pair occurs now, by row."""
        return self._counts[: len(self.pairs)]

    def count(self, left: int, right: int) -> Float[np.ndarray, " k"]:
        """How often one pair occurs now."""
        row = self._rows.get(_key(left, right))
        return np.zeros(self._counts.shape[1]) if row is None else self._counts[row]

    def places(self, row: int) -> Int[np.ndarray, " c"]:
        """Where a pair stands now: places of its left symbols, as if words were one after another.

        They are places of the symbols that the words began with, in order.
        """
        left, right = self.pairs[row]
        found = np.unique(np.concatenate(self._places[row]))
        now = (self._symbol[found] == left) & (self._symbol[self._next[found]] == right)
        self._places[row] = [found[now]]
        return self._places[row][0]

    def merge(self, left: int, right: int, made: int) -> Int[np.ndarray, " c"]:
        """Make one symbol of a pair wherever it stands.

        Returns:
            Rows of the pairs whose counts changed; none if the pair does not occur.
        """
        row = self._rows.get(_key(left, right))
        at = self.places(row) if row is not None else np.empty(0, np.int64)
        if not at.size:
            return at
        if left == right:
            at = self._without_overlap(at)
        taken = self._next[at]
        near = np.unique(np.concatenate([self._previous[at], at, taken]))
        near = near[near < self._end]
        before = near[self._next[near] < self._end]
        old = self._keys(before)
        self._symbol[at], self._symbol[taken] = made, -1
        self._next[at] = self._next[taken]
        self._previous[self._next[at]] = at
        after = near[(self._symbol[near] >= 0) & (self._next[near] < self._end)]
        return self._change(before, old, after)

    def symbols(self) -> list[list[int]]:
        """The symbols of each word now."""
        alive = self._symbol[:-1] >= 0
        sizes = np.bincount(self._word[:-1][alive], minlength=self._weights.shape[1])
        parts = np.split(self._symbol[:-1][alive], np.cumsum(sizes)[:-1])
        return [part.tolist() for part in parts[: len(sizes)]]

    def _keys(self, places: Int[np.ndarray, " c"]) -> Int[np.ndarray, " c"]:
        """The pair at each place as one number."""
        keys: Int[np.ndarray, " c"] = (self._symbol[places] << 32) | self._symbol[
            self._next[places]
        ]
        return keys

    def _without_overlap(self, at: Int[np.ndarray, " c"]) -> Int[np.ndarray, " n"]:
        """Of a run of equal symbols every other place, from its beginning."""
        order = np.arange(len(at))
        begins = np.append(True, self._next[at[:-1]] != at[1:])
        chosen: Int[np.ndarray, " n"] = at[
            (order - np.maximum.accumulate(np.where(begins, order, 0))) % 2 == 0
        ]
        return chosen

    def _change(
        self,
        before: Int[np.ndarray, " c"],
        old: Int[np.ndarray, " c"],
        after: Int[np.ndarray, " n"],
    ) -> Int[np.ndarray, " r"]:
        """Take away the pairs that were, count those that are; the rows where that matters."""
        new = self._keys(after)
        keys, where = np.unique(np.concatenate([old, new]), return_inverse=True)
        words = self._word[np.concatenate([before, after])]
        signs = np.concatenate([-np.ones(len(old)), np.ones(len(new))])
        change = np.stack(
            [np.bincount(where, signs * kind[words], len(keys)) for kind in self._weights], 1
        )
        rows = np.array([self._row(key) for key in keys.tolist()], np.int64)
        self._counts[rows] += change
        self._enter(rows, where[len(old) :], after)
        return rows[change.any(1)]

    def _row(self, key: int) -> int:
        """The row of a pair, a new one if it was never met."""
        row = self._rows.setdefault(key, len(self.pairs))
        if row == len(self.pairs):
            self.pairs.append((key >> 32, key & 0xFFFFFFFF))
            self._places.append([])
            if row == len(self._counts):
                self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        return row

    def _enter(
        self,
        rows: Int[np.ndarray, " r"],
        where: Int[np.ndarray, " c"],
        places: Int[np.ndarray, " c"],
    ) -> None:
        """Note where pairs now stand: the place `c` holds the pair `rows[where[c]]`."""
        order = np.argsort(where, kind="stable")
        held, begins = np.unique(where[order], return_index=True)
        parts = np.split(places[order], begins[1:])
        for row, part in zip(rows[held].tolist(), parts, strict=False):
            self._places[row].append(part)


def apply(
    words: Sequence[Sequence[int]], merges: Iterable[tuple[int, int, int]]
) -> list[list[int]]:
    """The words after an ordered list of merges, each a left, a right and the made symbol.

    >>> apply([[0, 1, 0, 1, 1]], [(0, 1, 2), (2, 1, 3)])
    [[2, 3]]
    """
    replay = Replay(words)
    for left, right, made in merges:
        replay.merge(left, right, made)
    return replay.symbols()


def _key(left: int, right: int) -> int:
    """A pair as one number."""
    return (left << 32) | right
