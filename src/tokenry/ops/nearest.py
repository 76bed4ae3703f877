"""The k best columns of each row of a large matrix of scores that is never whole in memory.

Scores are rounded to a thousand millionth, so that pairs that score the same do so however their
products were summed; of equal ones the lower column comes first. Pairs come sorted by row, then
falling score, then column. What a row finds does not depend on what rows are looked for with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from tokenry.errors import UsageError

ALL = slice(None)
Tile = Callable[[slice, slice], Float[np.ndarray, "t u"]]
"""Scores of some rows with some columns."""

_PLACES = 1e9
_GRAIN = 1 / _PLACES
_ROWS, _COLUMNS = 1024, 8192
_CELLS = 1 << 21  # scores of a sparse product that may be in memory at once
_GATHERED = 1 << 22  # numbers that are copied at once to score given pairs


class Ranked(NamedTuple):
    """Pairs with their scores, sorted by row, then falling score, then column."""

    rows: Int[np.ndarray, " m"]
    columns: Int[np.ndarray, " m"]
    scores: Float[np.ndarray, " m"]


def rounded(scores: Float[np.ndarray, "*m"]) -> Float[np.ndarray, "*m"]:
    """Scores at the precision at which they are compared; NaN stays."""
    # Dividing gives 0.7 where 0.7 is meant, multiplying by the grain does not; -0 becomes 0.
    return np.rint(np.asarray(scores, dtype=np.float64) * _PLACES) / _PLACES + 0.0


def nearest_by(
    score: Tile,
    shape: tuple[int, int],
    k: int,
    least: float = -np.inf,
    *,
    itself: bool = True,
    rows: slice = ALL,
) -> Ranked:
    """The k best columns of each row by any score.

    Args:
        score: Scores of a slice of rows with a slice of columns, in an array of its own; NaN is in
            no pair.
        shape: How many rows and columns there are.
        k: So many of each row; more than there are gives those that there are.
        least: Only what scores at least so much.
        itself: Whether a row may be paired with the column of its own number.
        rows: Which rows are looked for.

    Raises:
        UsageError: If k is below 1.

    >>> table = np.array([[0.5, 0.9, 0.9], [0.1, 0.2, 0.3]])
    >>> nearest_by(lambda some, others: table[some, others].copy(), (2, 3), 2).columns.tolist()
    [1, 2, 2, 1]
    """
    check_k(k)
    count, width = shape
    parts = []
    start, stop, _ = rows.indices(count)
    for first in range(start, stop, _ROWS):
        some = slice(first, min(first + _ROWS, stop))
        best = joined([])
        for at in range(0, width, _COLUMNS):
            others = slice(at, min(at + _COLUMNS, width))
            scores = score(some, others)
            if not itself:
                own = np.arange(max(first, at), min(some.stop, others.stop))
                scores[own - first, own - at] = np.nan
            found = np.nonzero(_near_the_top(scores, k, least))
            new = Ranked(found[0] + first, found[1] + at, scores[found])
            best = first_of_each(*joined([best, new]), k, least)
        parts.append(best)
    return joined(parts)


def nearest(
    left: Float[np.ndarray, "n d"],
    right: Float[np.ndarray, "m d"],
    k: int,
    least: float = -np.inf,
    *,
    itself: bool = True,
    rows: slice = ALL,
) -> Ranked:
    """The k right vectors of the highest dot product with each left one; exact, in tiles.

    Args:
        left: Vectors of length one; products are of double precision.
        right: The same.
        k: So many of each row.
        least: Only what scores at least so much.
        itself: Whether a row may be paired with the right row of its own number.
        rows: Which left rows are looked for.

    Raises:
        UsageError: If k is below 1.

    >>> nearest(np.eye(2), np.eye(2)[[1, 0, 1]], 2).columns.tolist()
    [1, 0, 0, 2]
    """

    def score(some: slice, others: slice) -> Float[np.ndarray, "t u"]:
        table: Float[np.ndarray, "t u"] = left[some].astype(np.float64) @ (
            right[others].astype(np.float64).T
        )
        return table

    shape = len(left), len(right)
    return nearest_by(score, shape, k, least, itself=itself, rows=rows)


def products(
    left: Float[np.ndarray, "n d"],
    right: Float[np.ndarray, "m d"],
    rows: Int[np.ndarray, " p"],
    columns: Int[np.ndarray, " p"],
) -> Float[np.ndarray, " p"]:
    """The dot products of given pairs, as `nearest` has them."""
    step = max(1, _GATHERED // max(1, left.shape[1]))
    found = np.empty(len(rows))
    for at in range(0, len(rows), step):
        some = slice(at, at + step)
        pair = left[rows[some]].astype(np.float64), right[columns[some]].astype(np.float64)
        found[some] = np.einsum("md,md->m", *pair)
    return rounded(found)


def sparse_nearest(
    left: sparse.csr_array,
    right: sparse.csr_array,
    k: int,
    least: float = -np.inf,
    *,
    itself: bool = True,
    rows: slice = ALL,
) -> Ranked:
    """The same for sparse rows without negative numbers; exact, in blocks of bounded memory.

    Args:
        left: Mostly rows of length one.
        right: The same.
        k: So many of each row; rows that share nothing score 0.
        least: Only what scores at least so much.
        itself: Whether a row may be paired with the right row of its own number.
        rows: Which left rows are looked for.

    Raises:
        UsageError: If k is below 1.
    """
    check_k(k)
    across = right.T.tocsr()
    width = right.shape[0]
    step = max(8, _CELLS // max(1, width))
    start, stop, _ = rows.indices(left.shape[0])
    parts = []
    for first in range(start, stop, step):
        block = (left[first : min(first + step, stop)] @ across).tocsr()
        chosen = np.flatnonzero(_tall(block, k + 1) & (block.data >= least - _GRAIN))
        found = np.searchsorted(block.indptr, chosen, side="right") - 1
        columns = block.indices[chosen].astype(np.int64)
        scores = block.data[chosen].astype(np.float64)
        if least <= 0:  # the k best may be among the first of those that share nothing
            empty = block[:, : min(width, k + 1)].toarray() == 0
            found = np.concatenate([found, np.nonzero(empty)[0]])
            columns = np.concatenate([columns, np.nonzero(empty)[1]])
            scores = np.concatenate([scores, np.zeros(int(empty.sum()))])
        kept = slice(None) if itself else found + first != columns
        parts.append(first_of_each(found[kept] + first, columns[kept], scores[kept], k, least))
    return joined(parts)


def sparse_products(
    left: sparse.csr_array,
    right: sparse.csr_array,
    rows: Int[np.ndarray, " p"],
    columns: Int[np.ndarray, " p"],
) -> Float[np.ndarray, " p"]:
    """The dot products of given pairs, as `sparse_nearest` has them; nothing becomes dense."""
    step = 1 << 16
    found = np.empty(len(rows))
    for at in range(0, len(rows), step):
        some = slice(at, at + step)
        both = left[rows[some]].multiply(right[columns[some]])
        found[some] = np.asarray(both.sum(axis=1)).ravel()
    return rounded(found)


def first_of_each(
    rows: Int[np.ndarray, " m"],
    columns: Int[np.ndarray, " m"],
    scores: Float[np.ndarray, " m"],
    k: int,
    least: float = -np.inf,
) -> Ranked:
    """Of given pairs, in any order, the k best of each row; NaN is in none.

    >>> first_of_each(np.array([0, 0, 0]), np.array([5, 3, 1]), np.array([1.0, 1, 0]), 2).columns
    array([3, 5])
    """
    scores = rounded(scores)
    good = scores >= least if np.isfinite(least) else ~np.isnan(scores)
    rows, columns, scores = rows[good], columns[good], scores[good]
    order = np.lexsort((columns, -scores, rows))
    rows, columns, scores = rows[order], columns[order], scores[order]
    starts = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]]) if len(rows) else rows
    place = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)]))
    kept = place < k
    return Ranked(rows[kept], columns[kept], scores[kept])


def _near_the_top(
    scores: Float[np.ndarray, "t u"], k: int, least: float
) -> Bool[np.ndarray, "t u"]:
    """Which scores reach the k-th of their row, ties and all, and `least`."""
    floor = least - _GRAIN
    if k >= scores.shape[1]:
        return scores >= floor
    # NaN would sort above all.
    last = np.partition(np.where(np.isnan(scores), -np.inf, scores), -k, axis=1)[:, -k, None]
    return scores >= np.maximum(last - _GRAIN, floor)


def _tall(block: sparse.csr_array, k: int) -> Bool[np.ndarray, " e"]:
    """Which entries reach the k-th of their row; rows of few entries keep all."""
    kept = np.ones(block.nnz, bool)
    for row in np.flatnonzero(np.diff(block.indptr) > 4 * k + 32):
        own = slice(block.indptr[row], block.indptr[row + 1])
        data = block.data[own]
        kept[own] = data >= np.partition(data, -k)[-k] - _GRAIN
    return kept


def joined(parts: list[Ranked]) -> Ranked:
    """Pairs of several lots, one behind the other."""
    if not parts:
        return Ranked(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    return Ranked(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def check_k(k: int) -> None:
    """Refuse a k that wants nothing.

    Raises:
        UsageError: If k is below 1.
    """
    if k < 1:
        raise UsageError(f"nearest: k={k} is below 1; k is how many of each row are wanted.")
