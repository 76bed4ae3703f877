"""Late interaction: scores of documents from similarities between single tokens."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tokenry.errors import UsageError
from tokenry.ops.ragged import Ragged, vectors

ROWS = 1 << 14
"""Document tokens whose similarities are held at a time."""

PRODUCTS = 1 << 20
"""Similarities that are held at a time: a long query is compared with fewer tokens at once."""

CONVERTED = 1 << 11
"""Document tokens brought to float32 and compared at once; as many stay in a core's cache."""

Impute = Literal["last", "zero"]


def segment_max(
    scores: Float[Tensor, "n r"], offsets: Int[Tensor, " o"]
) -> Float[Tensor, "n lists"]:
    """The greatest of each list of neighbouring columns; of an empty list, minus infinity.

    >>> segment_max(torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([0, 2, 2, 3])).tolist()
    [[3.0, -inf, 2.0]]
    """
    lengths = offsets.diff()
    full = lengths > 0
    if not bool(full.any()):
        return scores.new_full((len(scores), len(lengths)), -torch.inf)
    if scores.requires_grad or scores.device.type != "cpu":
        best = torch.segment_reduce(scores.T, "max", lengths=lengths[full], axis=0).T
    else:  # several times faster, and knows no gradient
        starts = offsets[:-1][full].numpy()
        best = torch.from_numpy(np.maximum.reduceat(scores.numpy(), starts, axis=1))
    if bool(full.all()):
        return best
    found = scores.new_full((len(scores), len(lengths)), -torch.inf)
    return found.masked_scatter(full.expand_as(found), best)


def maxsim(q: Ragged, d: Ragged, *, rows: int = ROWS) -> Float[Tensor, "q d"]:
    r"""Sum over query tokens of the best similarity within each document.

    $s(Q, D) = \sum_i \max_j q_i \cdot d_j$. No more than `rows` document tokens (or one document)
    are compared at a time, and fewer where the queries are long.

    Args:
        q: Token vectors of the queries, of length one where the score shall be cosines.
        d: Those of the documents.
        rows: Document tokens compared at a time.

    Returns:
        One score per query and document. A document without tokens has minus infinity, a query
        without tokens 0.

    >>> q, d = Ragged.of([torch.eye(2)]), Ragged.of([torch.eye(2)[:1], torch.eye(2)])
    >>> maxsim(q, d).tolist()
    [[1.0, 2.0]]
    """
    queries, parts = vectors(q), []
    for start, stop in d.chunks(min(rows, max(1, PRODUCTS // max(len(queries), 1)))):
        first, last = int(d.offsets[start]), int(d.offsets[stop])
        near = _near(queries, d.values[first:last])
        best = segment_max(near, d.offsets[start : stop + 1] - first)
        sums = best.new_zeros(len(q), best.shape[1]).index_add(0, q.owners, best)
        parts.append(sums)
    scores = torch.cat(parts, 1) if parts else queries.new_zeros(len(q), 0)
    return scores.masked_fill(d.lengths == 0, -torch.inf)


def _near(queries: Float[Tensor, "n d"], tokens: Float[Tensor, "r d"]) -> Float[Tensor, "n r"]:
    """All similarities, float32, whatever the type of the tokens."""
    if tokens.device.type != "cpu":
        return queries @ tokens.to(queries.dtype).T
    parts = [queries @ part.to(queries.dtype).T for part in torch.split(tokens, CONVERTED)]
    return torch.cat(parts, 1)


def mean_maxsim(q: Ragged, d: Ragged, *, rows: int = ROWS) -> Float[Tensor, "q d"]:
    """`maxsim` divided by the number of the query's tokens."""
    return maxsim(q, d, rows=rows) / q.lengths.clamp(min=1)[:, None]


def xtr_train_scores(q: Ragged, d: Ragged, top_k: int) -> Float[Tensor, "q d"]:
    r"""Scores from each query token's best tokens of the whole batch (XTR, section 3.1).

    $f(Q, D) = \frac1Z \sum_i \max_{j: A_{ij}} q_i \cdot d_j$, where $A_{ij}$ says that $d_j$ is
    among the `top_k` tokens of all documents of the batch that are nearest to $q_i$, and $Z$ is
    the number of query tokens with such a token in D, at least 1. A document without any scores 0.
    Gradients flow through the similarities that were chosen, not through the choice.

    Args:
        q: Token vectors of the queries.
        d: Those of all documents of the batch.
        top_k: Tokens that each query token retrieves; at most all there are.
    """
    if top_k < 1:
        raise UsageError(f"xtr_train_scores: top_k={top_k} is below 1; each token retrieves some.")
    queries, tokens = vectors(q), vectors(d)
    if not len(tokens):
        return queries.new_zeros(len(q), len(d))
    near = queries @ tokens.T
    chosen = near.detach().topk(min(top_k, len(tokens)), 1).indices
    # Not 0 for the rest: it would beat a retrieved similarity below 0.
    outside = torch.ones_like(near, dtype=torch.bool).scatter(1, chosen, False)
    best = segment_max(near.masked_fill(outside, -torch.inf), d.offsets)
    hit = best > -torch.inf
    totals = best.new_zeros(len(q), len(d)).index_add(0, q.owners, best.where(hit, 0.0))
    count = best.new_zeros(len(q), len(d)).index_add(0, q.owners, hit.to(best.dtype))
    return totals / count.clamp(min=1)


def xtr_scores(
    owners: Int[Tensor, "n k"], similarities: Float[Tensor, "n k"], impute: Impute = "last"
) -> tuple[Int[Tensor, " c"], Float[Tensor, " c"]]:
    r"""Scores of documents from retrieved tokens alone (XTR, section 3.2).

    $f'(Q, D) = \frac1n \sum_i s_i(D)$, where $s_i(D)$ is the best similarity of $q_i$ that was
    retrieved within D, and where none was, that of the last token that $q_i$ retrieved: what was
    missed cannot be nearer.

    Args:
        owners: Document of each token that was retrieved, for each query token; -1 for none.
        similarities: The similarity of each.
        impute: What stands for a similarity that was not retrieved: the `last` one of the query
            token, or `zero`.

    Returns:
        The documents with at least one hit, in ascending order, and their scores.

    >>> owners, near = torch.tensor([[7, 2], [2, 2]]), torch.tensor([[0.9, 0.5], [0.8, 0.7]])
    >>> documents, scores = xtr_scores(owners, near)
    >>> documents.tolist(), [round(x, 2) for x in scores.tolist()]
    ([2, 7], [0.65, 0.8])
    """
    n, _ = owners.shape
    real = (owners >= 0) & ~similarities.isnan()
    documents, place = torch.unique(owners[real], return_inverse=True)
    tokens = torch.arange(n, device=owners.device)[:, None].expand_as(owners)[real]
    best = similarities.new_full((n, len(documents)), -torch.inf)
    best.view(-1).scatter_reduce_(0, tokens * len(documents) + place, similarities[real], "amax")
    missing = similarities.new_zeros(n)
    if impute == "last" and owners.shape[1]:
        missing = similarities.masked_fill(~real, torch.inf).amin(1)
        missing = missing.where(real.any(1), 0.0)  # a token without any hit says nothing
    best = best.where(best > -torch.inf, missing[:, None])
    return documents, best.sum(0) / max(n, 1)
