"""Counts by period, and whether something became more frequent after a day."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from scipy import stats

from tokenry.errors import UsageError


class Change(NamedTuple):
    """What became of a rate on a day.

    Attributes:
        before: Share of the texts before the day that were found.
        after: Share of those from the day on.
        ratio: The one over the other; infinite where nothing was found before.
        p_value: Of no change (Fisher's exact test).
    """

    before: float
    after: float
    ratio: float
    p_value: float


def by_period(
    days: Int[np.ndarray, " n"], found: Bool[np.ndarray, " n"], length: int
) -> Int[np.ndarray, "p 3"]:
    """First day, texts and finds of each period of so many days, empty ones included.

    >>> by_period(np.array([0, 3, 25]), np.array([True, False, True]), 10).tolist()
    [[0, 2, 1], [10, 0, 0], [20, 1, 1]]
    """
    if not len(days):
        return np.zeros((0, 3), np.int64)
    first = days.min() // length
    period = days // length - first
    count = int(period.max()) + 1
    starts = (np.arange(count) + first) * length
    finds = np.bincount(period[found], minlength=count)
    return np.stack((starts, np.bincount(period, minlength=count), finds), 1)


def change(days: Int[np.ndarray, " n"], found: Bool[np.ndarray, " n"], day: int) -> Change:
    """Whether texts are found more often from a day on.

    Raises:
        UsageError: If all texts are on one side of the day.

    >>> change(np.array([1, 2, 3, 4]), np.array([True, False, True, True]), 3)[:3]
    (0.5, 1.0, 2.0)
    """
    late = days >= day
    if late.all() or not late.any():
        raise UsageError(f"change: all texts are on one side of day {day}; give one between.")
    table = [[int((found & side).sum()), int((~found & side).sum())] for side in (late, ~late)]
    after, before = (hits / (hits + rest) for hits, rest in table)
    ratio = after / before if before else np.inf if after else np.nan
    return Change(before, after, float(ratio), float(stats.fisher_exact(table).pvalue))
