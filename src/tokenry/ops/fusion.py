"""Several rankings made one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

from tokenry.errors import UsageError


def reciprocal_rank_fusion(
    rankings: Sequence[Int64[np.ndarray, " _"]], constant: float = 60.0
) -> tuple[Int64[np.ndarray, " c"], Float64[np.ndarray, " c"]]:
    r"""Documents by the sum of their reciprocal ranks (Cormack, Clarke and Buettcher 2009).

    $s(D) = \sum_r \frac1{c + r(D)}$, ranks counted from 1; a ranking without D adds nothing.

    Args:
        rankings: Keys of documents, the best first.
        constant: The `k` of the paper, which dampens the first ranks.

    Returns:
        The documents of all rankings, the best first, equal ones in ascending order; their scores.

    >>> a, b = np.array([1, 2]), np.array([2, 3])
    >>> reciprocal_rank_fusion([a, b])[0].tolist()
    [2, 1, 3]
    """
    if constant < 0:
        raise UsageError(f"reciprocal_rank_fusion: constant={constant} is below 0.")
    every = np.concatenate([np.empty(0, np.int64), *rankings])
    ranks = np.concatenate([np.empty(0), *(np.arange(1.0, len(r) + 1) for r in rankings)])
    keys, places = np.unique(every, return_inverse=True)
    scores = np.bincount(places, 1 / (constant + ranks), len(keys)).astype(np.float64)
    order = np.lexsort((keys, -scores))
    return keys[order], scores[order]
