"""Slots of a key-value cache: which stay, taken out of each head's own list."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int, Real, Shaped
from torch import Tensor


def take_slots(
    x: Float[Tensor, "b g s e"], index: Int[Tensor, "b g k"]
) -> Float[Tensor, "b g k e"]:
    """The slots `index` of each head, in new memory.

    >>> take_slots(torch.arange(4.0).view(1, 1, 4, 1), torch.tensor([[[3, 0]]])).flatten().tolist()
    [3.0, 0.0]
    """
    b, g, s, e = x.shape
    if x.stride()[2:] != (e, 1) or x.stride(0) % e or x.stride(1) % e:
        x = x.contiguous()
    # Heads may lie apart in memory; to see all that lies between as rows costs no copy.
    apart = x.stride(0) // e, x.stride(1) // e
    rows = x.as_strided(((b - 1) * apart[0] + (g - 1) * apart[1] + s, e), (e, 1))
    texts, heads = (torch.arange(n, device=x.device) for n in (b, g))
    start = texts[:, None, None] * apart[0] + heads[:, None] * apart[1]
    return rows.index_select(0, (index + start).flatten()).view(*index.shape, e)


def top_slots(
    score: Real[Tensor, "b g s"],
    count: int,
    first: int = 0,
    last: int = 0,
    valid: Bool[Tensor, "b g s"] | None = None,
) -> Int[Tensor, "b g k"]:
    """The `count` slots of highest score, in rising order; equal scores go to the first.

    Args:
        score: One score per slot.
        count: How many, from 1 to s.
        first: So many slots at the front stay whatever their score.
        last: So many slots at the end stay.
        valid: False where a slot is padding, which goes before all others.

    >>> top_slots(torch.tensor([[[5.0, 1.0, 9.0, 2.0, 3.0]]]), 3, first=1, last=1).tolist()
    [[[0, 2, 4]]]
    """
    rank = torch.arange(score.shape[-1], device=score.device)
    held: int | Tensor = score.shape[-1]
    if valid is not None:
        rank, held = valid.cumsum(-1) - 1, valid.sum(-1, keepdim=True)
    score = score.float().masked_fill((rank < first) | (rank >= held - last), float("inf"))
    if valid is not None:
        score = score.masked_fill(~valid, float("-inf"))
    order = score.argsort(dim=-1, descending=True, stable=True)
    return order[..., :count].sort(-1).values


def reachable(
    tokens: Int[Tensor, "b g s"],
    queries: Int[Tensor, " t"] | Int[Tensor, "b t"],
    valid: Bool[Tensor, "b g s"] | None = None,
) -> Bool[Tensor, "b g t s"]:
    """Which query may read which slot: those of tokens no later than it, padding aside.

    A query that could read nothing (itself padding) reads all, so that no row is NaN.

    Args:
        tokens: Which token each slot holds.
        queries: Which token each query is, of all texts or of each.
        valid: False where a slot is padding.
    """
    rows = queries[:, None] if queries.ndim == 1 else queries[:, None, :, None]
    allowed = tokens.unsqueeze(-2) <= rows
    if valid is not None:
        allowed = allowed & valid.unsqueeze(-2)
        allowed = allowed | ~allowed.any(-1, keepdim=True)
    return allowed


def seen_slots(
    mask: Shaped[Tensor, "#b 1 t n"], tokens: Int[Tensor, "b g s"]
) -> Bool[Tensor, "b g t s"]:
    """Which query may read which slot, by a mask over all tokens.

    Args:
        mask: True, or 0 of an additive one, where a query sees a token.
        tokens: Which token each slot holds.

    >>> mask = torch.tensor([[[[True, False, True]]]])
    >>> seen_slots(mask, torch.tensor([[[1, 2]]])).tolist()
    [[[[False, True]]]]
    """
    seen = mask if mask.dtype == torch.bool else mask == 0
    every = tokens.unsqueeze(-2).expand(-1, -1, mask.shape[-2], -1)
    allowed = seen.expand(*every.shape[:3], -1).gather(-1, every)
    return allowed | ~allowed.any(-1, keepdim=True)
