"""What every threshold would have brought, from the scores of pairs whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from tokenry.errors import UsageError
from tokenry.ops.agreement import ratios

Steps = Float[np.ndarray, " t"]


class Curve(NamedTuple):
    """Precision, recall and F1 of "the same from here on", for every score there is.

    Attributes:
        threshold: The scores, each once, from the highest down.
        found: How many pairs score at least so much.
        precision: The share of those that are true.
        recall: The share of all true pairs that is among those.
        f1: Their harmonic mean.
    """

    threshold: Steps
    found: Int[np.ndarray, " t"]
    precision: Steps
    recall: Steps
    f1: Steps

    @property
    def best(self) -> int:
        """Where F1 is highest; of several places, where the threshold is highest.

        Raises:
            ValueError: If there is no scored pair.
        """
        return int(self.f1.argmax())


def threshold_curve(
    scores: Float[np.ndarray, " m"], same: Bool[np.ndarray, " m"], missed: int = 0
) -> Curve:
    """Precision, recall and F1 at every threshold.

    Args:
        scores: Of pairs whose truth is known; NaN is no match at any threshold.
        same: Whether each is a true pair.
        missed: True pairs that have no score, such as those that blocking left out.

    >>> curve = threshold_curve(np.array([0.9, 0.8, 0.3]), np.array([True, False, True]), missed=1)
    >>> curve.threshold.tolist(), curve.recall.round(2).tolist(), curve.best
    ([0.9, 0.8, 0.3], [0.33, 0.33, 0.67], 2)
    """
    wanted = int(same.sum()) + missed
    real = ~np.isnan(scores)
    scores, same = scores[real], same[real]
    order = np.argsort(-scores, kind="stable")
    falling, hits = scores[order], np.cumsum(same[order])
    # Equal scores stand or fall together.
    ends = np.flatnonzero(np.diff(falling, append=np.nan) != 0)
    shared, found = hits[ends], ends + 1
    counts = np.stack((shared, found, np.full(len(ends), wanted)), 1)
    return Curve(falling[ends], found, *ratios(counts).T)


def best_threshold(
    scores: Float[np.ndarray, " m"],
    same: Sequence[bool] | Bool[np.ndarray, " m"],
    missed: int = 0,
) -> tuple[float, float]:
    """The threshold at which "the same from here on" has the highest F1, and that F1.

    Args:
        scores: Of labelled pairs; NaN is no match at any threshold.
        same: Whether each is one.
        missed: True pairs that have no score, which no threshold can find.

    Raises:
        UsageError: If no pair with a score is a true one.

    >>> best_threshold(np.array([0.9, 0.8, 0.3]), [True, True, False])
    (0.8, 1.0)
    """
    true = np.asarray(same, dtype=bool)
    if not true[~np.isnan(scores)].any():
        raise UsageError("best_threshold: none of the labelled pairs is a true one.")
    curve = threshold_curve(scores, true, missed)
    return float(curve.threshold[curve.best]), float(curve.f1[curve.best])


def middle_threshold(scores: Float[np.ndarray, " m"], same: Bool[np.ndarray, " m"]) -> float:
    """Halfway between the best threshold and the next lower score, if there is one.

    Raises:
        UsageError: If no pair with a score is a true one.

    >>> middle_threshold(np.array([0.9, 0.75, 0.25]), np.array([True, True, False]))
    0.5
    """
    least, _ = best_threshold(scores, same)
    below = scores[scores < least].max(initial=-np.inf)
    return least if np.isinf(below) else float(least + below) / 2
