"""Statistics of paired measurements: the same examples, the same batches, another method.

Scores are compared by a paired bootstrap over examples, seconds by Student's t over the logarithms
of timed batches: batches are few and all examples of one share its time, so that a bootstrap over
examples would claim far too much. The bootstrap itself is in `tokenry.ops.resampling`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tokenry.compare.records import Interval, Speed, Verdict
from tokenry.ops.agreement import share
from tokenry.ops.resampling import LEVEL as LEVEL
from tokenry.ops.resampling import RESAMPLES as RESAMPLES
from tokenry.ops.resampling import bounds as bounds

FEWEST = 6
"""Fewest examples for a verdict: with five, even all wins are no surprise (2 / 2^5 > 0.05)."""

Array = NDArray[np.float64]


def resampled_means(scores: Array, seed: int, weights: Array | None = None) -> Array:
    """Bootstrap draws of the mean of each row, with the same resamples for every row.

    Sharing the resamples is what makes any difference of two rows a paired one.

    Args:
        scores: One row per configuration, one column per example, `(c, n)`.
        seed: Of the resampling.
        weights: What each score counts, `(c, n)`; None where all count alike. A resample in which
            nothing counts holds no fault, and draws 1.

    Returns:
        The draws, `(c, RESAMPLES)`.
    """
    n = scores.shape[1]
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    times = counts.T.astype(np.float64)
    if weights is None:
        draws: Array = scores @ times / n
        return draws
    return share((scores * weights) @ times, weights @ times)


def means(scores: Array, weights: Array | None = None) -> Array:
    """The mean of each row.

    Args:
        scores: One row per configuration, `(c, n)`.
        weights: What each score counts; None where all count alike.

    >>> means(np.array([[1.0, 0.0]]), np.array([[2.0, 1.0]]))
    array([0.66666667])
    """
    if weights is None:
        found: Array = scores.mean(-1)
        return found
    return share((scores * weights).sum(-1), weights.sum(-1))


def mean_interval(values: Array, draws: Array) -> Interval:
    """Mean of `values` with the interval that its bootstrap draws give."""
    return drawn_interval(float(values.mean()), draws, len(values))


def drawn_interval(value: float, draws: Array, n: int) -> Interval:
    """A figure with the interval that its bootstrap draws over `n` examples give."""
    low, high = bounds(draws, n)
    # Sums in another order differ in the last bits; an interval must hold its value.
    return Interval(value, min(float(low), value), max(float(high), value))


def log_interval(logs: Array) -> Interval:
    """Geometric mean of `exp(logs)` with Student's t interval; of one value, that value."""
    low, high = t_bounds(logs)
    return Interval(*(float(np.exp(v)) for v in (logs.mean(), low, high)))


def t_bounds(values: Array) -> tuple[Array, Array]:
    """Ends of Student's 95 % interval of the mean along the last axis.

    >>> low, high = t_bounds(np.array([1.0, 2.0, 3.0]))
    >>> round(float(low), 3), round(float(high), 3)
    (-0.484, 4.484)
    """
    n, mean = values.shape[-1], values.mean(-1)
    if n == 1:
        return mean, mean
    half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * values.std(-1, ddof=1) / np.sqrt(n)
    return mean - half, mean + half


def mcnemar(right: Array, reference: Array) -> float:
    """McNemar's exact test of two right/wrong scores on the same examples.

    Args:
        right: 1 where the method is right, 0 where wrong.
        reference: The same for the untouched model.

    Returns:
        The two-sided p value; 1 when they never disagree.

    >>> mcnemar(np.array([1.0] * 10 + [0] * 2), np.array([0.0] * 10 + [1] * 2))
    0.03857421875
    """
    won = int(((right == 1) & (reference == 0)).sum())
    lost = int(((right == 0) & (reference == 1)).sum())
    if won + lost == 0:
        return 1.0
    return float(stats.binomtest(won, won + lost).pvalue)


def unseen(n: int) -> float:
    """The largest share of losses of which `n` examples may well hold none.

    The upper end of Clopper and Pearson's 95 % interval where nothing was lost, some 3.7 / n. A
    bootstrap of examples that all agree knows nothing of it.

    >>> round(unseen(40), 3)
    0.088
    """
    return float(1 - ((1 - LEVEL) / 2) ** (1 / n))


def verdict(
    differences: Array, interval: Interval, p_value: float | None, higher_is_better: bool
) -> Verdict:
    """What a paired difference comes to.

    "better" or "worse" needs an interval without zero, `FEWEST` examples, and for right/wrong
    scores McNemar's test below 0.05 as well.
    """
    if not differences.any():
        return "identical"
    surprising = len(differences) >= FEWEST and (p_value is None or p_value < 1 - LEVEL)
    if not surprising or interval.low <= 0 <= interval.high:
        return "not distinguishable"
    return "better" if (interval.low > 0) == higher_is_better else "worse"


def speed(speedup: Interval, batches: int) -> Speed:
    """What a speedup comes to; of a single timed batch nothing can be said."""
    if batches > 1 and speedup.low > 1:
        return "faster"
    if batches > 1 and speedup.high < 1:
        return "slower"
    return "not distinguishable"
