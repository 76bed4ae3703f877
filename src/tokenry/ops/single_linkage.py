"""Clusters by single linkage: whatever a chain of near neighbours joins, and where to cut it.

The same as DBSCAN with `min_samples=1`, as there every point is a core point.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import fcluster, single

from tokenry.errors import UsageError
from tokenry.ops.clusters import adjusted_rand, components

Labels = Int[np.ndarray, " n"]
Vectors = Float[np.ndarray, "n d"]

DISTANCES = tuple(round(0.01 * step, 2) for step in range(1, 101))
"""The cosine distances that `best_cut` tries."""
_BLOCK = 1024  # rows that are compared with all others at a time


class Cut(NamedTuple):
    """Where a tree is cut, and what comes of it.

    Attributes:
        distance: The greatest cosine distance that joins two.
        agreement: The adjusted Rand index with the true clusters.
    """

    distance: float
    agreement: float


def linked(vectors: Vectors, distance: float) -> Labels:
    """Clusters joined by cosine distances of at most so much.

    Args:
        vectors: Of length one.
        distance: Of cosines, 1 - cos.

    Returns:
        Labels that count from 0 in the order of first rows.

    >>> linked(np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]]), 0.4).tolist()
    [0, 0, 0, 1]
    """
    labels = np.arange(len(vectors))
    # Block by block: the pairs of a large cluster are too many to be listed.
    for start in range(0, len(vectors), _BLOCK):
        near = vectors[start : start + _BLOCK] @ vectors[start:].T >= 1 - distance
        pairs = labels[np.stack(np.nonzero(near), 1) + start]
        labels = components(pairs, len(vectors))[labels]
    return labels


def best_cut(vectors: Vectors, gold: Labels, distances: Sequence[float] = DISTANCES) -> Cut:
    """The cut that agrees best with the true clusters; of equally good ones the smallest.

    Take records that nothing is reported on: a cut that was chosen on the same records as it is
    judged by looks better than it is.

    Args:
        vectors: Of length one; all pairs of them are in memory.
        gold: The true cluster of each.
        distances: What is tried.

    Raises:
        UsageError: If there are fewer than two vectors.
    """
    if len(vectors) < 2:
        raise UsageError(f"best_cut: {len(vectors)} records make no tree; give two at least.")
    first, second = np.triu_indices(len(vectors), 1)
    tree = single(np.clip(1 - (vectors @ vectors.T)[first, second], 0, None))
    cuts = [Cut(d, adjusted_rand(fcluster(tree, d, "distance"), gold)) for d in distances]
    return max(cuts, key=lambda cut: (cut.agreement, -cut.distance))
