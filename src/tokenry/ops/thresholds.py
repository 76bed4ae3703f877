"""Where to cut scores so that what lies above agrees best with labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float


class Cut(NamedTuple):
    """A threshold, and what it brings: scores from it on count as positive."""

    threshold: float
    f1: float


def best_cut(scores: Float[np.ndarray, " m"], positive: Bool[np.ndarray, " m"]) -> Cut:
    """The cut with the greatest F1; of several, the lowest threshold lies highest.

    It lies halfway between the last score that counts and the first that does not, at the last
    score where there is none below. A score that is NaN never counts.

    Args:
        scores: Of each pair.
        positive: Whether it is a true one.

    Returns:
        Infinity and 0 where no pair is true or none has a score.

    >>> best_cut(np.array([0.9, 0.8, 0.4, 0.2]), np.array([True, False, True, False]))
    Cut(threshold=0.3..., f1=0.8)
    """
    kept = ~np.isnan(scores)
    order = np.argsort(-scores[kept], kind="stable")
    ranked, true = scores[kept][order], positive[kept][order]
    if not true.any():
        return Cut(np.inf, 0.0)
    # Equal scores are cut together: only the last of them may be the last that counts.
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    found = np.cumsum(true)[last]
    f1 = 2 * found / (last + 1 + positive.sum())
    best = int(f1.argmax())
    low = ranked[last[best]]
    below = ranked[last[best] + 1] if last[best] + 1 < len(ranked) else low
    return Cut(float((low + below) / 2), float(f1[best]))
