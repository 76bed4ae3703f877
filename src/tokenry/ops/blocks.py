"""Blocks of slots: what stands for one, and how like a query it is."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tokenry.ops.attention import by_key_head, column_mass
from tokenry.ops.slots import take_slots


def window_mass(
    queries: Float[Tensor, "b h t e"],
    keys: Float[Tensor, "b g n e"],
    scale: float,
    window: int,
    valid: Bool[Tensor, "b g n"] | None = None,
) -> Float[Tensor, "b g n"]:
    """Attention that each slot gets when each query reads its last `window` slots only.

    Args:
        queries: Those of the last slots.
        keys: One key per slot.
        scale: Factor before the softmax.
        window: How many slots a query reads, its own included.
        valid: False where a slot is padding, which neither asks nor is read.

    Returns:
        Summed over the queries, and over the query heads that share a key head.
    """
    (b, g, n, _), t = keys.shape, queries.shape[2]
    slots = torch.arange(n, device=keys.device)
    ahead = slots[n - t :, None] - slots
    allowed, real = ((ahead >= 0) & (ahead < window)).expand(b, g, -1, -1), None
    if valid is not None:
        allowed, real = allowed & valid.unsqueeze(-2), valid[:, 0, n - t :]
    mass = column_mass(queries, keys, scale, allowed, real)
    return by_key_head(mass, g).sum(2)


def foremost_mean(
    keys: Float[Tensor, "b g s e"],
    mass: Float[Tensor, "b g s"],
    size: int,
    members: int,
    valid: Bool[Tensor, "b g s"] | None = None,
) -> Float[Tensor, "b g n e"]:
    """The mean key of the `members` slots of most mass in each block of `size` slots.

    Args:
        keys: One key per slot, a whole number of blocks.
        mass: What ranks the slots of a block.
        size: Slots of a block.
        members: How many stand for it; all when it has no more.
        valid: False where a slot is padding; a block of padding has the mean 0.

    >>> keys, mass = torch.arange(4.0).view(1, 1, 4, 1), torch.tensor([[[1.0, 2.0, 4.0, 3.0]]])
    >>> foremost_mean(keys, mass, size=2, members=1).flatten().tolist()
    [1.0, 2.0]
    """
    b, g, s, e = keys.shape
    n = s // size
    if valid is not None:
        mass = mass.masked_fill(~valid, float("-inf"))
    best = mass.view(b, g, n, size).topk(min(members, size))
    index = best.indices + size * torch.arange(n, device=keys.device)[:, None]
    found = take_slots(keys, index.flatten(2)).float().view(b, g, n, -1, e)
    real = best.values.isfinite().unsqueeze(-1)
    return (found * real).sum(3) / real.sum(3).clamp(min=1)


def block_cosine(
    probe: Float[Tensor, "b h e"], blocks: Float[Tensor, "b g n e"]
) -> Float[Tensor, "b n"]:
    """Cosine of a query and each block, all heads as one long vector.

    A block's keys are repeated for the query heads that they serve.
    """
    heads = by_key_head(probe, blocks.shape[1])
    dot = (blocks @ heads.sum(2).unsqueeze(-1)).sum(1).squeeze(-1)
    lengths = blocks.square().sum((1, 3)).sqrt() * heads.shape[2] ** 0.5
    return torch.div(dot, (lengths * probe.flatten(1).norm(dim=1, keepdim=True)).clamp(min=1e-12))


def evenness(score: Float[Tensor, "b n"], free: Bool[Tensor, "b n"]) -> Float[Tensor, " b"]:
    """Entropy of the softmax over the free scores, as a share of the largest there can be.

    Args:
        score: One per block.
        free: Which count; of one or none, the entropy is taken to be the largest.

    >>> score = torch.tensor([[0.0, 0.0, 9.0], [0.0, 99.0, 0.0]])
    >>> evenness(score, torch.tensor([[True, True, False], [True] * 3])).round(decimals=3).tolist()
    [1.0, 0.0]
    """
    count = free.sum(-1)
    log = score.masked_fill(~free, float("-inf")).log_softmax(-1)
    entropy = -(log.exp() * log).nan_to_num(0.0).sum(-1) / count.clamp(min=2).log()
    return torch.where(count > 1, entropy, 1.0)
