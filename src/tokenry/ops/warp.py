"""XTR-WARP's search: tokens grouped by centroid, scored from tables that are made per query.

Scheerer et al. 2025 (arXiv 2501.17788), section 4. A similarity is the centroid's plus one number
from a table for each byte of the residual; nothing is multiplied per token.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, Int64, UInt8
from torch import Tensor

from tokenry.errors import MissingExtraError
from tokenry.ops.residual import ResidualCodec

PROBE = 32
"""Clusters that a query token looks into."""


def centroid_count(tokens: int) -> int:
    """How many clusters so many tokens are put in.

    PLAID's rule, the power of two below 16 times the square root; of few tokens at most one
    cluster for each 32, or the centroids would weigh more than the tokens.

    >>> centroid_count(150_000), centroid_count(1000), centroid_count(1)
    (4096, 31, 1)
    """
    return max(1, min(tokens // 32, 1 << int(math.log2(16 * math.sqrt(max(tokens, 1))))))


def grouped(codes: Int64[np.ndarray, " n"], count: int) -> tuple[np.ndarray, np.ndarray]:
    """The order that puts tokens of a cluster side by side, and where the clusters begin.

    >>> order, bounds = grouped(np.array([1, 0, 1]), 3)
    >>> order.tolist(), bounds.tolist()
    ([1, 0, 2], [0, 1, 3, 3])
    """
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes, minlength=count)
    return order, np.concatenate([[0], sizes.cumsum()])


@dataclass(frozen=True, slots=True)
class Groups:
    """Tokens grouped by centroid.

    Attributes:
        codec: What they were written with.
        bounds: Where each cluster begins, and at the end the number of tokens.
        packed: Residual of each token.
        owners: Document of each, counted from 0; any unsigned type.
        documents: How many documents there are.
    """

    codec: ResidualCodec
    bounds: Int64[np.ndarray, " _"]
    packed: UInt8[np.ndarray, "n w"]
    owners: Any
    documents: int


def tables(query: Float[Tensor, "q d"], codec: ResidualCodec) -> Float[Tensor, "q w 256"]:
    """For each query token, what each value of each byte of a residual adds to a similarity."""
    q, d = query.shape
    parts = query.float().view(q, codec.width, d // max(codec.width, 1))
    return parts @ codec.spread.T


def missing(
    near: Float[Tensor, "q k"], sizes: Int[Tensor, " k"], reach: float
) -> Float[Tensor, " q"]:
    """What stands for a similarity that was not looked at.

    The score of the first centroid, in descending order, at which the clusters so far hold
    `reach` tokens; where all hold fewer, that of the last.
    """
    scores, order = near.sort(1, descending=True)
    reached = sizes[order].cumsum(1) < reach
    place = reached.sum(1).clamp(max=near.shape[1] - 1)
    return scores.gather(1, place[:, None])[:, 0]


def warp_scores(
    query: Float[Tensor, "q d"],
    groups: Groups,
    *,
    probe: int = PROBE,
    reach: float | None = None,
    allowed: Bool[np.ndarray, " _"] | None = None,
) -> Float32[np.ndarray, " _"]:
    r"""Scores of all documents; minus infinity for one in whose clusters no query token looked.

    $s(D) = \sum_i \max(\text{best found of } q_i \text{ in } D) $, with the missing similarity
    where nothing was found.

    Args:
        query: Token vectors of one query.
        groups: The documents' tokens.
        probe: Clusters that each query token looks into.
        reach: Tokens that the imputed similarity lies behind; None for $\sqrt{8 N}$.
        allowed: Which documents count; None for all.

    Raises:
        MissingExtraError: If numba is not installed.
    """
    found = np.full(groups.documents, -np.inf, np.float32)
    if not len(query) or not len(groups.packed):
        return found
    near = query.float() @ groups.codec.centroids.T
    best, cells = near.topk(min(probe, near.shape[1]), 1)
    wanted = math.sqrt(8 * len(groups.packed)) if reach is None else reach
    unseen = missing(near, torch.from_numpy(np.diff(groups.bounds)), wanted)
    total = np.zeros(groups.documents, np.float32)
    touched = np.zeros(groups.documents, np.bool_)
    every = np.ones(groups.documents, np.bool_) if allowed is None else allowed
    _kernel()(
        cells.numpy(),
        best.numpy(),
        unseen.numpy(),
        tables(query, groups.codec).numpy(),
        groups.bounds,
        groups.packed,
        groups.owners,
        every,
        total,
        touched,
    )
    found[touched] = total[touched] + float(unseen.sum())
    return found


@cache
def _kernel() -> Callable[..., None]:
    try:
        import numba
    except ImportError as error:
        raise MissingExtraError("compressed search", 'pip install "tokenry[retrieval]"') from error
    compiled: Callable[..., None] = numba.njit(cache=True, nogil=True)(inspect.unwrap(_look))
    return compiled


def _look(
    cells: Any,
    best: Any,
    unseen: Any,
    table: Any,
    bounds: Any,
    packed: Any,
    owners: Any,
    allowed: Any,
    total: Any,
    touched: Any,
) -> None:
    """Add, to the total of each document, what each query token found there beyond the unseen."""
    width = packed.shape[1]
    current = np.full(total.shape[0], -np.inf, np.float32)
    seen = np.empty(total.shape[0], np.int64)
    for i in range(cells.shape[0]):
        count = 0
        for j in range(cells.shape[1]):
            cell = cells[i, j]
            for row in range(bounds[cell], bounds[cell + 1]):
                owner = owners[row]
                if not allowed[owner]:
                    continue
                score = best[i, j]
                for w in range(width):
                    score += table[i, w, packed[row, w]]
                if current[owner] == -np.inf:
                    seen[count] = owner
                    count += 1
                if score > current[owner]:
                    current[owner] = score
        for n in range(count):
            owner = seen[n]
            total[owner] += current[owner] - unseen[i]
            touched[owner] = True
            current[owner] = -np.inf
