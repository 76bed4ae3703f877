"""The Pareto front of score against a cost, with intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenry.compare import stats


def front(
    goodness: NDArray[np.float64],
    log_cost: NDArray[np.float64],
    seed: int,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.bool_]:
    """Which configurations no other dominates.

    One dominates another when the 95 % intervals of both paired differences show it at least as
    good (they hold nothing below zero), and one of them better. Noise alone never removes a
    configuration: the front always holds the plain front of the means, and with fewer than
    `stats.FEWEST` examples or a single timed batch it holds all.

    Args:
        goodness: Scores, higher being better, one row per configuration: `(c, n)`.
        log_cost: Logarithms of the seconds of each timed batch, or of another cost of each
            example, `(c, m)`.
        seed: Of the bootstrap.
        weights: What each score counts, `(c, n)`; None where all count alike.

    Returns:
        True for each configuration on the front, `(c,)`.
    """
    if goodness.shape[1] < stats.FEWEST or log_cost.shape[1] < 2:
        return np.ones(len(goodness), dtype=bool)
    draws = stats.resampled_means(goodness, seed, weights)
    dominated = np.zeros(len(goodness), dtype=bool)
    for one in range(len(goodness)):
        better, _ = stats.bounds(draws[one] - draws, goodness.shape[1])
        cheaper, _ = stats.t_bounds(log_cost - log_cost[one])
        # Equal scores leave a difference of rounding size in the draws.
        better[np.isclose(better, 0, atol=1e-12)] = 0
        at_least = (better >= 0) & (cheaper >= 0)
        dominated |= at_least & ((better > 0) | (cheaper > 0))
    return ~dominated
