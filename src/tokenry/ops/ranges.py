"""Ranges of whole numbers, many at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def ranges(
    start: Int[np.ndarray, " n"], count: Int[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """The numbers of several ranges in a row, and the range that each is of.

    >>> [part.tolist() for part in ranges(np.array([5, 0, 2]), np.array([2, 0, 1]))]
    [[0, 0, 2], [5, 6, 2]]
    """
    owner = np.repeat(np.arange(len(count)), count)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    return owner, start[owner] + within
