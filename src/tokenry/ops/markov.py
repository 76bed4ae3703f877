"""Markov clustering: a walk over a graph that is sharpened until it stays where it is."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int
from scipy import sparse

from tokenry.errors import UsageError


def markov_clusters(
    weights: sparse.csr_array,
    inflation: float | int = 2.0,
    prune: float = 1e-4,
    rounds: int = 100,
) -> Int[np.ndarray, " n"]:
    r"""Clusters of a weighted graph without direction.

    Columns of $M$ sum to one. Until nothing changes: expansion $M \leftarrow M M$, then inflation
    $M_{ij} \leftarrow M_{ij}^r / \sum_k M_{kj}^r$, and what is below `prune` is dropped. Nodes
    whose walks end at the same places are one cluster.

    Args:
        weights: Symmetric, at least 0. A node's tie to itself is raised to its strongest tie.
        inflation: r; a larger one makes smaller clusters.
        prune: Smallest share of a column that is kept; the greatest of each always is.
        rounds: After so many the result is taken as it is.

    Returns:
        A label for each node.

    Raises:
        UsageError: If `inflation` is not above 1, which would sharpen nothing.

    >>> ties = np.array([[0, 1, 0, 0], [1, 0, 0.1, 0], [0, 0.1, 0, 1], [0, 0, 1, 0]])
    >>> markov_clusters(sparse.csr_array(ties)).tolist()
    [0, 0, 1, 1]

    Source: van Dongen 2000, chapter 5.
    """
    if not inflation > 1:
        raise UsageError(f"markov_clusters: inflation={inflation} is not above 1.")
    count = weights.shape[0]
    if not count:
        return np.zeros(0, np.int64)
    strongest = np.asarray(weights.max(axis=1).todense()).reshape(-1).astype(np.float64)
    loops = np.maximum(np.where(strongest > 0, strongest, 1.0) - weights.diagonal(), 0)
    flow = stochastic(sparse.csc_array(weights + sparse.diags_array(loops)))
    for _ in range(rounds):
        fresh = sharpened(flow @ flow, inflation, prune)
        moved = abs(fresh - flow)
        flow = fresh
        if not moved.nnz or moved.max() < prune:
            break
    _, labels = sparse.csgraph.connected_components(flow, directed=False)
    return np.asarray(labels, dtype=np.int64)


def sharpened(flow: sparse.csc_array, inflation: float | int, prune: float) -> sparse.csc_array:
    """Inflation and pruning; columns sum to one again."""
    powered = stochastic(sparse.csc_array(flow.power(inflation)))
    column = np.repeat(np.arange(powered.shape[1]), np.diff(powered.indptr))
    greatest = np.asarray(powered.max(axis=0).todense()).reshape(-1)
    powered.data[powered.data < np.minimum(prune, greatest[column])] = 0
    powered.eliminate_zeros()
    return stochastic(powered)


def stochastic(flow: sparse.csc_array) -> sparse.csc_array:
    """Columns that sum to one."""
    sums = np.asarray(flow.sum(axis=0)).reshape(-1)
    return sparse.csc_array(flow @ sparse.diags_array(1 / np.where(sums > 0, sums, 1)))
