"""Attention of a chunk of queries over the slots that a policy selects for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tokenry.method import CachePolicy, KVView, Read
from tokenry.ops.attention import attend, grouped, ungrouped
from tokenry.ops.budget import kept_count
from tokenry.ops.rope import rotate
from tokenry.ops.slots import reachable, take_slots


def read(
    policy: CachePolicy, view: KVView, queries: Float[Tensor, "b h t e"]
) -> tuple[Float[Tensor, "b t h v"], Int[Tensor, "b g k"]]:
    """Ask the policy chunk by chunk, and attend to what it names.

    Args:
        policy: Who selects.
        view: The whole layer, with the tokens of these queries at the end.
        queries: Without rotation if the policy is `unrotated`.

    Returns:
        The output, and which tokens the last chunk read.
    """
    n = view.seen - queries.shape[2]
    out, slots = [], view.tokens
    for start in range(0, queries.shape[2], policy.chunk):
        stop = min(start + policy.chunk, queries.shape[2])
        seen, t = n + stop, stop - start
        count = min(seen, max(kept_count(seen - t, policy.keep) + t, policy.least))
        part = replace(
            view,
            count=count,
            seen=seen,
            keys=view.keys[:, :, :seen],
            values=view.values[:, :, :seen],
            tokens=view.tokens[:, :, :seen],
            valid=None if view.valid is None else view.valid[:, :, :seen],
            places=view.places[:, start:stop],
            asked={**view.asked, "queries": queries[:, :, start:stop]},
        )
        with torch.no_grad():
            reads = policy.select(part)
        out.append(_attend(part, reads, policy.unrotated))
        slots = torch.cat([one.slots for one in reads], -1)
    return torch.cat(out, 2).transpose(1, 2), slots


def _attend(view: KVView, reads: Sequence[Read], unrotated: bool) -> Float[Tensor, "b h t v"]:
    parts = [_placed(view, one, unrotated) for one in reads]
    values = [take_slots(view.values, one.slots) for one in reads]
    if len(parts) == 1:
        ((queries, keys, allowed),) = parts
        return attend(queries, keys, values[0], view.scale, allowed)
    g, t = view.keys.shape[1], parts[0][0].shape[2]
    scores = []
    for queries, keys, allowed in parts:
        score = grouped(queries * view.scale, g) @ keys.transpose(-1, -2)
        score = score.reshape(*score.shape[:2], -1, t, score.shape[-1]).masked_fill(
            ~allowed.unsqueeze(2), float("-inf")
        )
        scores.append(score)
    weights = torch.cat(scores, -1).softmax(-1, dtype=torch.float32).to(values[0].dtype)
    return ungrouped(weights.flatten(2, 3) @ torch.cat(values, 2), t)


def _placed(
    view: KVView, one: Read, unrotated: bool
) -> tuple[Float[Tensor, "b h t e"], Float[Tensor, "b g k e"], Bool[Tensor, "b g t k"]]:
    """Queries and keys of one read, where it places them, and which may meet."""
    queries, keys = view.queries, take_slots(view.keys, one.slots)
    t = queries.shape[2]
    if unrotated:
        own = view.positions.unsqueeze(1).expand(-1, keys.shape[1], -1).gather(-1, one.slots)
        places = view.places if one.places is None else one.places
        queries = rotate(queries, places.unsqueeze(1), view.inv_freq)
        keys = rotate(keys, own if one.positions is None else one.positions, view.inv_freq)
    allowed = one.allow
    if allowed is None:
        last = torch.arange(view.seen - t, view.seen, device=keys.device)
        valid = None if view.valid is None else view.valid.gather(-1, one.slots)
        allowed = reachable(view.tokens.gather(-1, one.slots), last, valid)
    return queries, keys, allowed
