"""Clusters of vectors by their distances; what is like no other is alone."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from tokenry.errors import MissingExtraError, UsageError
from tokenry.ops.single_linkage import linked

By = Literal["single", "average", "ward", "hdbscan"]
"""single: what a chain of near neighbours joins; average: by the mean distance of two
clusters; ward: by how much a cluster's scatter would grow; hdbscan: by where vectors lie dense."""
DISTANCES: dict[By, float] = {"single": 0.1, "average": 0.2, "ward": 0.5}
"""How far apart two things of one cluster may be: a cosine distance, with ward a Euclidean one."""
LEAST: dict[By, int] = {"single": 2, "hdbscan": 5}
"""Rows of the smallest cluster; smaller ones are single rows."""


def cluster_vectors(
    vectors: Float[np.ndarray, "n d"],
    by: By = "single",
    *,
    distance: float | None = None,
    least: int | None = None,
) -> Int[np.ndarray, " n"]:
    """Clusters of vectors of length one; those in none have a number of their own each.

    Args:
        vectors: The vectors.
        by: What joins them.
        distance: How far apart two of one cluster may be; not with hdbscan.
        least: Vectors of the smallest cluster; with single and hdbscan.

    Returns:
        Labels that count from 0 in the order of first rows.

    Raises:
        UsageError: If a setting is out of range or means nothing with `by`.
        MissingExtraError: If scikit-learn is not installed, which all ways but single need.

    >>> cluster_vectors(np.array([[1.0, 0], [0, 1], [1, 0], [-1, 0]])).tolist()
    [0, 1, 0, 2]
    """
    for name, value, known, low in (
        ("distance", distance, DISTANCES, 0),
        ("least", least, LEAST, 2),
    ):
        if value is not None and (by not in known or not low <= value < np.inf):
            raise UsageError(
                f"cluster_vectors: {name}={value} with by={by!r}; it is at least {low}, and goes "
                f"with {', '.join(known)}."
            )
    far = DISTANCES.get(by, 0.0) if distance is None else distance
    few = LEAST.get(by, 2) if least is None else least
    if len(vectors) < few:
        return np.arange(len(vectors))
    if by == "single":
        found = linked(vectors, far)
        alone = np.bincount(found)[found] < few
    else:
        found = np.asarray(_method(by, far, few).fit_predict(vectors), dtype=np.int64)
        alone = found < 0
    found[alone] = len(vectors) + np.flatnonzero(alone)
    _, first, labels = np.unique(found, return_index=True, return_inverse=True)
    made: Int[np.ndarray, " n"] = np.argsort(np.argsort(first))[labels]
    return made


def _method(by: By, distance: float, least: int) -> Any:
    try:
        from sklearn import cluster
    except ImportError as error:
        raise MissingExtraError("cluster_vectors", 'pip install "tokenry[linking]"') from error
    if by == "hdbscan":
        return cluster.HDBSCAN(min_cluster_size=least, min_samples=1, metric="cosine", copy=True)
    metric = "euclidean" if by == "ward" else "cosine"
    return cluster.AgglomerativeClustering(
        n_clusters=None, linkage=by, metric=metric, distance_threshold=distance
    )
