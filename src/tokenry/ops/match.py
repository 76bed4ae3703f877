"""Bipartite soft matching: each row of one set finds its most similar row of another."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int, Real
from torch import Tensor

from tokenry.ops.plan import Plan, take_rows


def best_match(
    a: Float[Tensor, "b p d"],
    b: Float[Tensor, "b q d"],
    blocked: Bool[Tensor, "b q"] | None = None,
) -> tuple[Float[Tensor, "b p"], Int[Tensor, "b p"]]:
    """For each row of `a`, the largest dot product with a row of `b`, and which row that is.

    Args:
        a: Rows that look for a partner, of unit length.
        b: Rows that may be found, of unit length.
        blocked: True where a row of `b` may not be found.
    """
    scores = a @ b.transpose(-1, -2)
    if blocked is not None:
        scores = scores.masked_fill(blocked.unsqueeze(1), float("-inf"))
    best = scores.max(-1)
    return best.values, best.indices


def first_ranked(score: Real[Tensor, "b n"]) -> Int[Tensor, "b n"]:
    """Positions in falling order of score; equal scores keep their order on every device."""
    return score.argsort(dim=-1, descending=True, stable=True)


def merge_best(
    metric: Float[Tensor, "b n d"],
    a: Int[Tensor, "b p"],
    b: Int[Tensor, "b q"],
    r: int,
    valid: Bool[Tensor, "b n"] | None = None,
) -> Plan:
    """Merge the `r` rows of `a` that have the most similar partner in `b` into that partner.

    Args:
        metric: What the rows are compared by, of unit length.
        a: Indices of the rows that may go, none of them protected.
        b: Indices of the rows that may take them in, none of them protected.
        r: How many go, at most `a.shape[1]`.
        valid: False where a row is padding; it takes nothing in, and goes after all rows that
            have a partner but before those that have none.

    Returns:
        The plan; rows that stay keep their order.
    """
    blocked = None if valid is None else ~valid.gather(1, b)
    score, partner = best_match(take_rows(metric, a), take_rows(metric, b), blocked)
    if valid is not None:
        score = score.masked_fill(~valid.gather(1, a), torch.finfo(score.dtype).min)
    order = first_ranked(score)
    source = a.gather(1, order[:, :r])
    destination = b.gather(1, partner.gather(1, order[:, :r]))
    return merge_into(metric.shape[1], source, destination)


def merge_into(n: int, source: Int[Tensor, "b r"], destination: Int[Tensor, "b r"]) -> Plan:
    """The plan that merges each source into its destination; both are row indices below `n`.

    >>> merge_into(3, torch.tensor([[1]]), torch.tensor([[2]])).target.tolist()
    [[1]]
    """
    b, r = source.shape
    stays = torch.ones(b, n, dtype=torch.bool, device=source.device)
    stays.scatter_(1, source, False)
    place = stays.cumsum(1) - 1
    # A scatter instead of nonzero(), which would make a GPU wait; column n - r is thrown away.
    rows = torch.arange(n, device=source.device).expand(b, n)
    keep = rows.new_empty(b, n - r + 1).scatter_(1, place.where(stays, n - r), rows)
    return Plan(keep[:, : n - r], source, place.gather(1, destination))
