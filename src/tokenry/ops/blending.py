"""Scores of several rankers on one scale, summed with weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tokenry.errors import UsageError

Scores = Float[np.ndarray, "q d"]


def on_one_scale(scores: Scores) -> Scores:
    """Scores of each query from 0, the worst, to 1, the best; all 0 where none stands out.

    >>> on_one_scale(np.array([[2.0, 4.0, 3.0], [5.0, 5.0, 5.0]])).tolist()
    [[0.0, 1.0, 0.5], [0.0, 0.0, 0.0]]
    """
    low = scores.min(1, keepdims=True)
    span = scores.max(1, keepdims=True) - low
    found: Scores = (scores - low) / np.where(span > 0, span, 1)
    return found


def blended(scores: Sequence[Scores], weights: Sequence[float | int]) -> Scores:
    """The weighted sum of rankers, each on the scale from 0 to 1.

    Raises:
        UsageError: If there is not one weight for each ranker.
    """
    if len(scores) != len(weights) or not len(scores):
        raise UsageError(
            f"blended: {len(scores)} rankers have {len(weights)} weights; give one for each."
        )
    found: Scores = sum(
        (w * on_one_scale(one) for one, w in zip(scores, weights, strict=True)),
        np.zeros(scores[0].shape),
    )
    return found
