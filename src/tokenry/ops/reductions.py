"""How many merges it takes to make texts shorter by a share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tokenry.errors import UsageError


def mean_lengths(batches: Sequence[Sequence[int]]) -> Float[np.ndarray, " m"]:
    """The table from merges to length, over batches that run out of merges at different points.

    Args:
        batches: Of each batch its length before the first merge and after each.

    >>> mean_lengths([[10, 8, 7], [6]])
    array([8. , 7. , 6.5])
    """
    longest = max(map(len, batches), default=0)
    rows = [[*lengths, *[lengths[-1]] * (longest - len(lengths))] for lengths in batches]
    return np.asarray(rows, dtype=float).mean(0)


def merges_for(lengths: Float[np.ndarray, " m"], share: float) -> int:
    """The fewest merges that close this share of the gap between the first length and the last.

    Args:
        lengths: Length after 0, 1, ... merges, until no pair is left.
        share: Of the gap, in [0, 1].

    Raises:
        UsageError: If the share is outside its range, or there is no length.

    >>> merges_for(mean_lengths([[10, 8, 7, 6]]), 0.5)
    1
    """
    if not 0 <= share <= 1 or not len(lengths):
        raise UsageError(
            f"merges_for: share={share} of {len(lengths)} lengths; allowed is a share in [0, 1] "
            "of at least one length."
        )
    goal = lengths[0] - share * (lengths[0] - lengths[-1])
    return int(np.argmax(lengths <= goal + 1e-9))
