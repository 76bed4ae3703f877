"""Clusters of directions."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tokenry.errors import UsageError
from tokenry.ops.similarity import unit

_PRODUCTS = 1 << 24
"""Products of rows with centroids that are held at a time."""


def nearest_centroid(x: Float[Tensor, "n d"], centroids: Float[Tensor, "k d"]) -> Int[Tensor, " n"]:
    """For each row, the centroid with the greatest dot product; of equals, the first.

    >>> nearest_centroid(torch.eye(2), torch.eye(2).flip(0)).tolist()
    [1, 0]
    """
    step = max(1, _PRODUCTS // len(centroids))
    parts = [_first_best(part.float() @ centroids.T) for part in torch.split(x, step)]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.int64)


def _first_best(products: Float[Tensor, "n k"]) -> Int[Tensor, " n"]:
    if products.device.type != "cpu":
        return products.argmax(1)
    # Torch's own takes as long as the products; numpy's a tenth.
    return torch.from_numpy(products.detach().numpy().argmax(1))


def spherical_kmeans(
    x: Float[Tensor, "n d"], count: int, *, iterations: int = 4, seed: int = 0
) -> Float[Tensor, "k d"]:
    """Centroids of length one that rows are near to, by Lloyd's algorithm with cosines.

    A centroid that loses all its rows starts again at the row that its own centroid serves worst.

    Args:
        x: Rows; their length counts for nothing.
        count: Centroids; where there are fewer rows, as many as rows.
        iterations: Rounds; PLAID takes 4.
        seed: Which rows are the first centroids.

    Raises:
        UsageError: If there are no rows, or no centroids.
    """
    if not len(x) or count < 1:
        raise UsageError(f"spherical_kmeans: got {len(x)} rows and {count} centroids; give both.")
    source = torch.Generator().manual_seed(seed)
    rows = unit(x)
    centroids = rows[torch.randperm(len(rows), generator=source)[:count]]
    for _ in range(iterations):
        chosen = nearest_centroid(rows, centroids)
        sums = torch.zeros_like(centroids).index_add_(0, chosen, rows)
        empty = torch.bincount(chosen, minlength=len(centroids)) == 0
        if bool(empty.any()):
            served = (rows * centroids[chosen]).sum(1)
            worst = served.topk(int(empty.sum()), largest=False).indices
            sums[empty] = rows[worst]
        centroids = unit(sums)
    return centroids
