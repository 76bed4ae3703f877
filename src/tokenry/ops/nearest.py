"""The k best columns of each row of a large matrix of scores that is never whole in memory.

Scores are rounded to a thousand millionth, so that pairs that score the same do so however their
products were summed; of equal ones the lower column comes first. Pairs come sorted by row, then
falling score, then column.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from tokenry.errors import MissingExtraError, UsageError

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
    score: Tile, shape: tuple[int, int], k: int, least: float = -np.inf, *, itself: bool = True
) -> Ranked:
    """The k best columns of each row by any score.

    Args:
        score: Scores of a slice of rows with a slice of columns, in an array of its own; NaN is in
            no pair.
        shape: How many rows and columns there are.
        k: So many of each row; more than there are gives those that there are.
        least: Only what scores at least so much.
        itself: Whether a row may be paired with the column of its own number.

    Raises:
        UsageError: If k is below 1.

    >>> table = np.array([[0.5, 0.9, 0.9], [0.1, 0.2, 0.3]])
    >>> nearest_by(lambda some, others: table[some, others].copy(), (2, 3), 2).columns.tolist()
    [1, 2, 2, 1]
    """
    _check(k)
    count, width = shape
    parts = []
    for first in range(0, count, _ROWS):
        some = slice(first, min(first + _ROWS, count))
        best = _joined([])
        for at in range(0, width, _COLUMNS):
            others = slice(at, min(at + _COLUMNS, width))
            scores = score(some, others)
            if not itself:
                own = np.arange(max(first, at), min(some.stop, others.stop))
                scores[own - first, own - at] = np.nan
            found = np.nonzero(_near_the_top(scores, k, least))
            new = Ranked(found[0] + first, found[1] + at, scores[found])
            best = first_of_each(*_joined([best, new]), k, least)
        parts.append(best)
    return _joined(parts)


def nearest(
    left: Float[np.ndarray, "n d"],
    right: Float[np.ndarray, "m d"],
    k: int,
    least: float = -np.inf,
    *,
    itself: bool = True,
) -> Ranked:
    """The k right vectors of the highest dot product with each left one; exact, in tiles.

    Args:
        left: Vectors of length one; products are of double precision.
        right: The same.
        k: So many of each row.
        least: Only what scores at least so much.
        itself: Whether a row may be paired with the right row of its own number.

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

    return nearest_by(score, (len(left), len(right)), k, least, itself=itself)


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


def nearly_nearest(
    left: Float[np.ndarray, "n d"],
    right: Float[np.ndarray, "m d"],
    k: int,
    least: float = -np.inf,
    *,
    itself: bool = True,
    searched: int = 200,
    threads: int = 1,
) -> Ranked:
    """What `nearest` finds, or most of it, through a graph of neighbours: for very many rows.

    The scores are exact. With one thread, two runs find the same.

    Args:
        left: Vectors of length one.
        right: The same.
        k: So many of each row.
        least: Only what scores at least so much.
        itself: Whether a row may be paired with the right row of its own number.
        searched: How many candidates the search holds; more finds more.
        threads: How many build and search the graph; 0 for all cores.

    Raises:
        MissingExtraError: If usearch is not installed.
        UsageError: If k is below 1.

    Source: Malkov and Yashunin 2018, Hierarchical Navigable Small World graphs.
    """
    _check(k)
    try:
        from usearch.index import Index
    except ImportError as error:
        raise MissingExtraError("nearly_nearest", 'pip install "tokenry[linking]"') from error
    wanted = min(k + (not itself), len(right))
    if not (len(left) and wanted):
        return _joined([])
    index = Index(
        ndim=right.shape[1],
        metric="ip",
        dtype="f32",
        expansion_add=max(searched, 128),
        expansion_search=max(searched, wanted),
    )
    index.add(np.arange(len(right)), right.astype(np.float32), threads=threads)
    asked = left.astype(np.float32)
    # One text alone is answered in another form than several.
    answers: Any = index.search(np.concatenate([asked, asked[:1]]), wanted, threads=threads)
    rows = np.repeat(np.arange(len(left)), answers.counts[: len(left)])
    inside = np.arange(answers.keys.shape[1]) < answers.counts[: len(left), None]
    columns = answers.keys[: len(left)][inside].astype(np.int64)
    kept = slice(None) if itself else rows != columns
    rows, columns = rows[kept], columns[kept]
    return first_of_each(rows, columns, products(left, right, rows, columns), k, least)


def sparse_nearest(
    left: sparse.csr_array,
    right: sparse.csr_array,
    k: int,
    least: float = -np.inf,
    *,
    itself: bool = True,
) -> Ranked:
    """The same for sparse rows without negative numbers; exact, in blocks of bounded memory.

    Args:
        left: Mostly rows of length one.
        right: The same.
        k: So many of each row; rows that share nothing score 0.
        least: Only what scores at least so much.
        itself: Whether a row may be paired with the right row of its own number.

    Raises:
        UsageError: If k is below 1.
    """
    _check(k)
    across = right.T.tocsr()
    width = right.shape[0]
    step = max(8, _CELLS // max(1, width))
    parts = []
    for first in range(0, left.shape[0], step):
        block = (left[first : first + step] @ across).tocsr()
        chosen = np.flatnonzero(_tall(block, k + 1) & (block.data >= least - _GRAIN))
        rows = np.searchsorted(block.indptr, chosen, side="right") - 1
        columns = block.indices[chosen].astype(np.int64)
        scores = block.data[chosen].astype(np.float64)
        if least <= 0:  # the k best may be among the first of those that share nothing
            empty = block[:, : min(width, k + 1)].toarray() == 0
            rows = np.concatenate([rows, np.nonzero(empty)[0]])
            columns = np.concatenate([columns, np.nonzero(empty)[1]])
            scores = np.concatenate([scores, np.zeros(int(empty.sum()))])
        kept = slice(None) if itself else rows + first != columns
        parts.append(first_of_each(rows[kept] + first, columns[kept], scores[kept], k, least))
    return _joined(parts)


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


def _joined(parts: list[Ranked]) -> Ranked:
    if not parts:
        return Ranked(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    return Ranked(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _check(k: int) -> None:
    if k < 1:
        raise UsageError(f"nearest: k={k} is below 1; k is how many of each row are wanted.")
