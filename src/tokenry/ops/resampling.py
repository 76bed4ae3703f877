"""Bootstrap intervals: what a figure might have been, had other examples been drawn.

The percentiles are widened for small samples (Hesterberg 2015, "What teachers should know about
the bootstrap", section 5.3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.95
RESAMPLES = 2000
BLOCK = 1 << 22
"""Counts that are drawn at once, in numbers."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % interval; of a single observation both ends are the value."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bounds(draws: Array, n: int) -> tuple[Array, Array]:
    r"""Ends of the 95 % interval from bootstrap draws along the last axis.

    Percentiles at $\Phi(\pm\sqrt{n/(n-1)}\,t_{n-1})$: what Student's t is to the normal,
    the bootstrap's percentiles lack.

    Args:
        draws: Draws of a mean, `(..., r)`.
        n: Number of examples that the mean is over.
    """
    if n == 1:
        return np.asarray(draws[..., 0]), np.asarray(draws[..., 0])
    tail = stats.norm.cdf(-np.sqrt(n / (n - 1)) * stats.t.ppf((1 + LEVEL) / 2, n - 1))
    low, high = np.quantile(draws, [tail, 1 - tail], axis=-1)
    return np.asarray(low), np.asarray(high)


def resampled_totals(parts: Float[np.ndarray, "n c"], seed: int) -> Float[np.ndarray, "r c"]:
    """Sums over examples that are drawn with replacement, `RESAMPLES` times.

    Args:
        parts: What each example adds to each sum.
        seed: Of the resampling.
    """
    n = len(parts)
    rng = np.random.default_rng(seed)
    shares = np.full(n, 1 / n)
    rows = max(1, min(RESAMPLES, BLOCK // n))
    found = [
        rng.multinomial(n, shares, size=min(rows, RESAMPLES - start)).astype(np.float64) @ parts
        for start in range(0, RESAMPLES, rows)
    ]
    return np.concatenate(found)


def intervals_of_totals(
    parts: Float[np.ndarray, "n c"],
    measures: Callable[[Float[np.ndarray, "r c"]], Float[np.ndarray, "r m"]],
    seed: int,
) -> list[Interval]:
    """Figures that are made of sums over examples, such as ratios of two sums.

    Args:
        parts: What each example adds to each sum.
        measures: Makes figures of rows of sums.
        seed: Of the resampling.

    >>> parts = np.array([[1.0, 2.0]] * 5)
    >>> intervals_of_totals(parts, lambda sums: sums[:, :1] / sums[:, 1:], 0)
    [Interval(value=0.5, low=0.5, high=0.5)]
    """
    values = measures(parts.sum(0, keepdims=True))[0].tolist()
    low, high = bounds(measures(resampled_totals(parts, seed)).T, len(parts))
    ends = zip(values, low.tolist(), high.tolist(), strict=True)
    # Sums in another order differ in the last bits; an interval must hold its value.
    return [Interval(value, min(least, value), max(most, value)) for value, least, most in ends]
