"""The best of several columns that stand for the same thing."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def group_best(
    scores: Float[np.ndarray, "t p"], owner: Int[np.ndarray, " p"], count: int
) -> Float[np.ndarray, "t g"]:
    """The best score of each group of columns; NaN for a group that has none.

    Args:
        scores: Of rows with columns.
        owner: The group of each column, in rising order.
        count: How many groups there are.

    >>> group_best(np.array([[1.0, 3.0, 2.0]]), np.array([0, 0, 2]), 3).tolist()
    [[3.0, nan, 2.0]]
    """
    best = np.full((len(scores), count), np.nan)
    if len(owner):
        groups, starts = np.unique(owner, return_index=True)
        best[:, groups] = np.maximum.reduceat(scores, starts, axis=1)
    return best
