"""Which of the scored pairs become links: the best of each row, or at most one for every row.

All rules take pairs as three arrays and give the sorted positions of those that stay. A pair
without a score (NaN) never stays. Equal scores are decided by the lower left, then the lower right
row, so that the order in which pairs come changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import optimize, sparse

from tokenry.ops.clusters import components, members

Rows = Int[np.ndarray, " m"]
Scores = Float[np.ndarray, " m"]
Kept = Int[np.ndarray, " k"]
Gains = Float[np.ndarray, " m"]

DENSE = 1_000_000
"""Cells up to which a component is solved as a full matrix, which is faster while it is small."""
NUDGE = 1e-8
"""Share of the best score that ties are broken within."""


def every(left: Rows, right: Rows, score: Scores) -> Kept:
    """Every pair with a score.

    >>> every(np.array([0, 0]), np.array([1, 2]), np.array([0.5, np.nan])).tolist()
    [0]
    """
    del left, right
    return np.flatnonzero(~np.isnan(score))


def best_left(left: Rows, right: Rows, score: Scores) -> Kept:
    """The best pair of each left row; a right row may be in several.

    >>> pairs = np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([0.5, 0.7, 0.6])
    >>> best_left(*pairs).tolist()
    [1, 2]
    """
    return np.sort(_firsts(left, right, score))


def best_right(left: Rows, right: Rows, score: Scores) -> Kept:
    """The best pair of each right row; a left row may be in several."""
    return best_left(right, left, score)


def mutual(left: Rows, right: Rows, score: Scores) -> Kept:
    """Pairs that are the best of both their rows.

    >>> pairs = np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([0.5, 0.7, 0.6])
    >>> mutual(*pairs).tolist()
    [1]
    """
    return np.intersect1d(_firsts(left, right, score), _firsts(right, left, score))


def greedy(left: Rows, right: Rows, score: Scores) -> Kept:
    """One to one, the best pair first, then the best of what is left; half the best total at worst.

    >>> pairs = np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([0.5, 0.7, 0.6])
    >>> greedy(*pairs).tolist()
    [1]
    """
    order = np.lexsort((right, left, -score))
    order = order[~np.isnan(score[order])]
    seen_left: set[int] = set()
    seen_right: set[int] = set()
    kept = []
    rows = (order.tolist(), left[order].tolist(), right[order].tolist())
    for place, one, other in zip(*rows, strict=True):
        if one not in seen_left and other not in seen_right:
            kept.append(place)
            seen_left.add(one)
            seen_right.add(other)
    return np.sort(np.array(kept, dtype=np.int64))


def one_to_one(left: Rows, right: Rows, score: Scores) -> Kept:
    """Each row in at most one pair, with the greatest possible sum of scores.

    Every pair that is given may stay: where scores below zero occur (distances turned round, match
    weights), the sum counts from the lowest of them. Of several best choices the one with more
    pairs is taken, then the one in which upper left rows have lower right rows.

    Components of the graph are solved one by one, stars directly, others as a linear assignment
    (Crouse 2016; as a sparse one, Jonker and Volgenant 1987, where they are large).

    >>> pairs = np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([0.5, 0.7, 0.6])
    >>> one_to_one(*pairs).tolist()
    [0, 2]
    """
    place = _distinct(left, right, score)
    if not len(place):
        return place
    _, one = np.unique(left[place], return_inverse=True)
    _, other = np.unique(right[place], return_inverse=True)
    gain = score[place] - min(0.0, float(score[place].min()))
    rows = int(one.max()) + 1
    labels = components(np.stack((one, other + rows), 1), rows + int(other.max()) + 1)[one]
    star = _stars(labels, one, other)
    # In a star all pairs share a row, so that its best pair is the whole answer.
    kept = [place[star][_firsts(labels[star], np.arange(star.sum()), gain[star])]]
    rest = np.flatnonzero(~star)
    parts = [rest[part] for part in members(labels[rest])]
    kept += [place[part[_solved(one[part], other[part], gain[part])]] for part in parts]
    return np.sort(np.concatenate(kept))


ASSIGNMENTS: dict[str, Callable[[Rows, Rows, Scores], Kept]] = {
    "many": every,
    "best_left": best_left,
    "best_right": best_right,
    "mutual": mutual,
    "one_to_one": one_to_one,
    "greedy": greedy,
}
"""The rules by the names that users give."""


def _firsts(left: Rows, right: Rows, score: Scores) -> Kept:
    """Position of each left row's best pair."""
    order = np.lexsort((right, -score, left))
    order = order[~np.isnan(score[order])]
    return np.asarray(order[np.diff(left[order], prepend=-1) != 0])


def _distinct(left: Rows, right: Rows, score: Scores) -> Kept:
    """Positions of scored pairs by rows; of a pair that comes twice, the better one."""
    order = np.lexsort((-score, right, left))
    order = order[~np.isnan(score[order])]
    new = (np.diff(left[order], prepend=-1) != 0) | (np.diff(right[order], prepend=-1) != 0)
    return np.asarray(order[new])


def _stars(labels: Rows, one: Rows, other: Rows) -> Bool[np.ndarray, " m"]:
    """Whether a pair is in a component with a single row on one of its sides."""
    count = int(labels.max()) + 1
    lefts = np.bincount(labels[np.unique(one, return_index=True)[1]], minlength=count)
    rights = np.bincount(labels[np.unique(other, return_index=True)[1]], minlength=count)
    return np.asarray((np.minimum(lefts, rights) == 1)[labels])


def _solved(one: Rows, other: Rows, gain: Gains) -> Kept:
    """Positions within a component of the pairs of its best matching."""
    _, row = np.unique(one, return_inverse=True)
    _, column = np.unique(other, return_inverse=True)
    rows, columns = int(row.max()) + 1, int(column.max()) + 1
    best = _matching(row, column, gain)
    # Equal totals: first more pairs, then a weight that upper left rows use more of.
    ties = (rows - row) * column / (rows * columns)
    step = NUDGE * max(float(gain.max()), 1e-300) / min(rows, columns)
    nudged = _matching(row, column, gain + step * (2 - ties))
    lost = float(gain[best].sum() - gain[nudged].sum())
    # Where two totals differ by less than the nudge the better one is still the answer.
    return nudged if lost <= 1e-13 * float(gain.sum()) else best


def _matching(row: Rows, column: Rows, gain: Gains) -> Kept:
    """Positions of the pairs of a matching of the greatest total gain; no gain is below zero."""
    rows, columns = int(row.max()) + 1, int(column.max()) + 1
    if rows * columns <= DENSE:
        # A cell without a pair costs nothing: whoever is assigned to it stays alone.
        table = np.zeros((rows, columns))
        table[row, column] = gain
        taken, by = optimize.linear_sum_assignment(table, maximize=True)
    else:
        taken, by = _sparse_matching(row, column, gain)
    mate = np.full(rows, -1, dtype=np.int64)
    mate[taken] = by
    return np.flatnonzero(mate[row] == column)


def _sparse_matching(row: Rows, column: Rows, gain: Gains) -> tuple[Kept, Kept]:
    """The same without a full matrix: each row may also stay alone, with a column of its own."""
    rows, columns = int(row.max()) + 1, int(column.max()) + 1
    alone = np.arange(rows)
    # Costs of zero would be no edges to scipy; one for all rows changes no choice.
    top = 2 * float(gain.max()) or 1.0
    cost = np.concatenate((top - gain, np.full(rows, top)))
    ends = (np.concatenate((row, alone)), np.concatenate((column, columns + alone)))
    graph = sparse.csr_array((cost, ends), shape=(rows, columns + rows))
    taken, by = sparse.csgraph.min_weight_full_bipartite_matching(graph)
    return taken, by
