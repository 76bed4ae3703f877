"""How far apart names are through a directory of aliases with canonical ids."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from tokenry.ops.calibration import reach
from tokenry.ops.name_distance import FuzzyDistance, VectorDistance

_SAMPLE = 1000
_BLOCK = 512

Rows = Int[np.ndarray, " m"]
Values = Float[np.ndarray, " m"]
Distance = FuzzyDistance | VectorDistance
Near = tuple[Int[np.ndarray, "_"], Int[np.ndarray, "_"], Float[np.ndarray, "_"]]
"""Rows, canonical ids or rows of the other side, and distances."""


class Network:
    r"""Distances through canonical ids, $\min_c \max(\rho d_x(c), \rho d_y(c))$.

    Args:
        left: The canonical ids that left names reach, as `reached` finds them.
        right: The same of right names.
        shape: How many left and right names there are.
        rho: What the larger distance is multiplied by.

    Attributes:
        farthest: The largest distance of a pair that is joined; 0 where none is.

    Source: Libgober and Jerzak 2025, section 4.
    """

    def __init__(self, left: Near, right: Near, shape: tuple[int, int], rho: float | int) -> None:
        rows, columns, far = joined(left, right)
        self.farthest = rho * float(far.max(initial=0.0))
        # Kept as closeness, so that what is not stored is infinitely far.
        close = 1 / (1 + rho * far)
        self.close = sparse.coo_array((close, (rows, columns)), shape=shape).tocsr()

    def tile(self, rows: slice, columns: slice) -> Float[np.ndarray, "t u"]:
        """Distances of some left names from some right ones; NaN where nothing joins them."""
        return _far(self.close[rows, columns].toarray())

    def pairs(self, left: Rows, right: Rows) -> Values:
        """Distances of given pairs."""
        if not len(left):
            return np.zeros(0)  # scipy takes no empty places
        return _far(np.asarray(self.close[left, right]).reshape(-1))


def _far(close: Float[np.ndarray, "*s"]) -> Float[np.ndarray, "*s"]:
    known = close > 0
    return np.where(known, 1 / np.where(known, close, 1) - 1, np.nan)


def within(far: Distance, average: float | int) -> float:
    """The distance within which a name has so many matches, from a thousand names a side."""
    draw = np.random.default_rng(0)
    some, others = (
        np.sort(draw.choice(count, min(count, _SAMPLE), replace=False)) for count in far.shape
    )
    sample = far.tile(some, others)
    if isinstance(far, FuzzyDistance):
        sample[sample >= 1] = np.inf  # no candidates
    return reach(sample, *far.shape, average)


def reached(far: Distance, labels: Int[np.ndarray, " n"], average: float | int) -> Near:
    """The canonical ids that each name reaches, and the distance of the nearest alias of each.

    Args:
        far: Of names from aliases.
        labels: The canonical id of each alias.
        average: The matches of a name that the limit is chosen for.
    """
    limit, (count, width) = within(far, average), far.shape
    parts: list[Near] = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for at in range(0, count if width else 0, _BLOCK):
        tile = far.tile(slice(at, min(at + _BLOCK, count)), slice(0, width))
        near = tile <= limit
        if isinstance(far, FuzzyDistance):
            near &= tile < 1
        row, column = np.nonzero(near)
        parts.append(first_of_pairs(row + at, labels[column], tile[row, column]))
    rows, owners, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    return rows, owners, values


def first_of_pairs(rows: Rows, columns: Rows, values: Values) -> Near:
    """Each pair once, with the least of its values, in order.

    >>> some = np.array([1, 1]), np.array([0, 0]), np.array([5.0, 3.0])
    >>> [part.tolist() for part in first_of_pairs(*some)]
    [[1], [0], [3.0]]
    """
    order = np.lexsort((values, columns, rows))
    rows, columns, values = rows[order], columns[order], values[order]
    fresh = np.ones(len(rows), dtype=bool)
    fresh[1:] = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
    return rows[fresh], columns[fresh], values[fresh]


def joined(some: Near, others: Near) -> Near:
    """Pairs of rows that reach the same canonical id, with the larger of their two distances."""
    order = np.argsort(others[1], kind="stable")
    right, label, far = others[0][order], others[1][order], others[2][order]
    first = np.searchsorted(label, some[1], "left")
    count = np.searchsorted(label, some[1], "right") - first
    left = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(left)) - np.repeat(np.cumsum(count) - count, count) + first[left]
    return first_of_pairs(some[0][left], right[place], np.maximum(some[2][left], far[place]))
