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
from jaxtyping import Bool, Float, Float32, Int, Int64
from torch import Tensor

from tokenry.errors import MissingExtraError
from tokenry.ops.residual import ResidualCodec

PROBE = 32
"""Clusters that a query token looks into."""

TOGETHER = 32
"""Query tokens whose clusters are in memory together."""


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
        packed: Residual of each token: an array, or rows that are read when they are needed.
        owners: Document of each, counted from 0; any unsigned type, an array or rows as well.
        documents: How many documents there are.
    """

    codec: ResidualCodec
    bounds: Int64[np.ndarray, " _"]
    packed: Any
    owners: Any
    documents: int

    def only(self, cells: Int64[np.ndarray, "q p"]) -> tuple[Groups, Int64[np.ndarray, "q p"]]:
        """Groups whose clusters are in memory, if they are among some, and their numbers there."""
        if isinstance(self.packed, np.ndarray):
            return self, cells
        chosen, places = np.unique(cells, return_inverse=True)
        starts = self.bounds[chosen]
        bounds = np.concatenate([[0], (self.bounds[chosen + 1] - starts).cumsum()])
        rows = np.arange(bounds[-1]) + np.repeat(starts - bounds[:-1], np.diff(bounds))
        read = self.packed[rows], self.owners[rows].reshape(-1)
        return Groups(self.codec, bounds, *read, self.documents), places.reshape(cells.shape)


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
    # A few clusters hold enough tokens, unless sizes are very different: sort no more than needed.
    mean = max(float(sizes.sum()) / max(len(sizes), 1), 1e-9)
    some = min(len(sizes), 2 * math.ceil(reach / mean) + PROBE)
    while True:
        scores, order = near.topk(some, 1)
        held = sizes[order].cumsum(1)
        if some == len(sizes) or bool((held[:, -1] >= reach).all()):
            break
        some = min(len(sizes), 4 * some)
    place = (held < reach).sum(1).clamp(max=some - 1)
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
    wanted = math.sqrt(8 * len(groups.packed)) if reach is None else reach
    sizes = torch.from_numpy(np.diff(groups.bounds))
    total = np.zeros(groups.documents, np.float32)
    touched = np.zeros(groups.documents, np.bool_)
    every = np.ones(groups.documents, np.bool_) if allowed is None else allowed
    bound = 0.0
    for part in torch.split(query.float(), TOGETHER):
        near = part @ groups.codec.centroids.T
        best, cells = near.topk(min(probe, near.shape[1]), 1)
        unseen = missing(near, sizes, wanted)
        bound += float(unseen.sum())
        read, places = groups.only(cells.numpy())
        compiled(_look)(
            places,
            best.numpy(),
            unseen.numpy(),
            tables(part, groups.codec).numpy(),
            read.bounds,
            read.packed,
            read.owners,
            every,
            total,
            touched,
        )
    found[touched] = total[touched] + bound
    return found


def maxsim_scores(
    query: Float[Tensor, "q d"],
    groups: Groups,
    rows: Int64[np.ndarray, " n"],
    codes: Any,
    offsets: Int64[np.ndarray, " o"],
    *,
    unit: bool,
) -> Float32[np.ndarray, " _"]:
    """MaxSim of some documents with all their tokens; no vector is held longer than it is scored.

    Args:
        query: Token vectors of one query.
        groups: The documents' tokens.
        rows: Where the tokens of these documents lie in the groups.
        codes: Centroid of each of these tokens; any unsigned type.
        offsets: Where each document begins among the rows, and at the end their number.
        unit: Whether decoded vectors are scaled to length one.

    Raises:
        MissingExtraError: If numba is not installed.
    """
    codec = groups.codec
    scores = np.empty(len(offsets) - 1, np.float32)
    asked = np.ascontiguousarray(query.float().numpy())
    given = (codec.centroids.numpy(), codec.spread.numpy(), asked, unit)
    compiled(_score)(groups.packed[rows], codes, offsets, *given, scores)
    return scores


@cache
def compiled(loop: Callable[..., None]) -> Callable[..., None]:
    """A loop over arrays as machine code, kept between processes.

    Raises:
        MissingExtraError: If numba is not installed.
    """
    try:
        import numba
    except ImportError as error:
        raise MissingExtraError("compressed search", 'pip install "tokenry[retrieval]"') from error
    # Sums in any order, or each addition waits for the one before.
    make = numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
    made: Callable[..., None] = make(inspect.unwrap(loop))
    return made


def _score(
    packed: Any,
    codes: Any,
    offsets: Any,
    centroids: Any,
    spread: Any,
    query: Any,
    unit: Any,
    scores: Any,
) -> None:
    """Decode each token into one short array and compare it with each query token."""
    part, dimension = spread.shape[1], centroids.shape[1]
    vector = np.empty(dimension, np.float32)
    best = np.empty(query.shape[0], np.float32)
    for document in range(scores.shape[0]):
        best[:] = -np.inf
        for n in range(offsets[document], offsets[document + 1]):
            code, length = codes[n], np.float32(0)
            for p in range(part):
                for w in range(packed.shape[1]):
                    vector[w * part + p] = spread[packed[n, w], p]
            for j in range(dimension):
                vector[j] += centroids[code, j]
                length += vector[j] * vector[j]
            scale = 1 / max(np.sqrt(length), np.float32(1e-12)) if unit else np.float32(1)
            for i in range(query.shape[0]):
                near = np.float32(0)
                for j in range(dimension):
                    near += query[i, j] * vector[j]
                best[i] = max(best[i], np.float32(near * scale))
        scores[document] = best.sum()


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
