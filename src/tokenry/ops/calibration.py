"""How far apart two records may be and still match, from how many matches a record should have."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from tokenry.errors import UsageError

_NEAREST = 1e-6


def reach(
    distances: Float[np.ndarray, "*some"],
    left: int,
    right: int,
    average: float | int,
) -> float:
    r"""The distance within which a record has so many matches on average.

    It is the quantile of the distances at the level $A / \sqrt{n_l n_r}$, at most 1, with a
    straight line between two distances: $A$ matches for each record, where the number of records is
    the geometric mean of the two sides'.

    Args:
        distances: Of a sample of all pairs; NaN is left out. Infinite ones, of pairs that are no
            candidates, count as the farthest.
        left: Records of the left side.
        right: Records of the right side.
        average: Matches of a record.

    Returns:
        At least a millionth; infinity where there are no distances.

    Raises:
        UsageError: If `average` is not above 0.

    >>> reach(np.array([[0.0, 0.4], [0.5, 0.1]]), 2, 2, 1)
    0.25

    Source: Libgober and Jerzak 2025, official software; the rule of `AveMatchNumberPerAlias`.
    """
    if not average > 0:
        raise UsageError(f"reach: average={average} is not above 0; it is matches per record.")
    found = np.sort(distances[~np.isnan(distances)], axis=None)
    if not len(found):
        return math.inf
    place = min(1.0, average / math.sqrt(max(1, left * right))) * (len(found) - 1)
    low, high = found[math.floor(place)], found[math.ceil(place)]
    share = place - math.floor(place)
    # Halfway to no candidate is the last candidate.
    between = low + share * (high - low) if np.isfinite(high) else low
    return max(_NEAREST, float(between))


def least_score(
    scores: Float[np.ndarray, "*some"],
    left: int,
    right: int,
    average: float | int,
) -> float:
    """The score from which on a record has so many matches on average, as `reach` finds it.

    >>> least_score(np.array([[1.0, 0.6], [0.5, 0.9]]), 2, 2, 1)
    0.75
    """
    top = np.nanmax(scores, initial=0.0)
    return float(top - reach(top - scores, left, right, average))
