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
from tokenry.ops.rope import angles, rotate, turn
from tokenry.ops.slots import reachable, take_slots

Turns = dict[int, tuple[Tensor, Tensor]]
"""Angles of the positions 0, 1, 2, ... by how many there are: the same for all layers."""


def read(
    policy: CachePolicy, view: KVView, queries: Float[Tensor, "b h t e"], turns: Turns
) -> tuple[Float[Tensor, "b t h v"], Int[Tensor, "b g k"]]:
    """Ask the policy chunk by chunk, and attend to what it names.

    Args:
        policy: Who selects.
        view: The whole layer, with the tokens of these queries at the end.
        queries: Without rotation if the policy is `unrotated`.
        turns: Angles that other layers of this pass have needed already.

    Returns:
        The output, and which slots the last chunk read.
    """
    before = view.seen - queries.shape[2]
    out, slots = [], view.tokens
    for start in range(0, queries.shape[2], policy.chunk):
        stop = min(start + policy.chunk, queries.shape[2])
        part = _part(policy, view, before + start, before + stop)
        part.asked["queries"] = queries[:, :, start:stop]
        with torch.no_grad():
            reads = policy.select(part)
        out.append(_attend(part, reads, turns if policy.unrotated else None))
        slots = torch.cat([one.slots for one in reads], -1)
    return torch.cat(out, 2).transpose(1, 2), slots


def _part(policy: CachePolicy, view: KVView, past: int, seen: int) -> KVView:
    """The layer as it was when the tokens from `past` to `seen` had just come in."""
    count = max(kept_count(past, policy.keep), policy.least) + seen - past
    first = view.seen - view.places.shape[1]
    asked = dict(view.asked)
    if "positions" in asked:
        asked["positions"] = asked["positions"][:, :seen]
    return replace(
        view,
        count=min(seen, count),
        seen=seen,
        keys=view.keys[:, :, :seen],
        values=view.values[:, :, :seen],
        tokens=view.tokens[:, :, :seen],
        valid=None if view.valid is None else view.valid[:, :, :seen],
        places=view.places[:, past - first : seen - first],
        asked=asked,
    )


def _attend(view: KVView, reads: Sequence[Read], turns: Turns | None) -> Float[Tensor, "b h t v"]:
    """One softmax over all reads."""
    placed = [_taken(view, one) if turns is None else _placed(view, one, turns) for one in reads]
    values = [take_slots(view.values, one.slots) for one in reads]
    allowed = _allowed(view, reads)
    if len(reads) == 1:
        ((queries, keys),) = placed
        return attend(queries, keys, values[0], view.scale, allowed)
    g, t = view.keys.shape[1], view.queries.shape[2]
    joined = [grouped(q * view.scale, g) @ k.transpose(-1, -2) for q, k in placed]
    scores = torch.cat(joined, -1)
    if allowed is not None:
        rows = scores.view(*scores.shape[:2], -1, t, scores.shape[-1])
        scores = rows.masked_fill(~allowed.unsqueeze(2), float("-inf")).flatten(2, 3)
    weights = scores.softmax(-1, dtype=torch.float32).to(values[0].dtype)
    return ungrouped(weights @ torch.cat(values, 2), t)


def _taken(view: KVView, one: Read) -> tuple[Float[Tensor, "b h t e"], Float[Tensor, "b g k e"]]:
    return view.queries, take_slots(view.keys, one.slots)


def _placed(
    view: KVView, one: Read, turns: Turns
) -> tuple[Float[Tensor, "b h t e"], Float[Tensor, "b g k e"]]:
    """Queries and keys of one read, rotated to where it places them."""
    if one.packed:
        return _packed(view, one, turns)
    queries, keys = _taken(view, one)
    places = view.places if one.places is None else one.places
    positions = one.positions
    if positions is None:
        every = view.positions.unsqueeze(1).expand(-1, keys.shape[1], -1)
        positions = every.gather(-1, one.slots)
    if positions.numel() == 1:
        places = places - positions.view(1, 1)
    else:
        keys = rotate(keys, positions, view.inv_freq)
    return rotate(queries, places.unsqueeze(1), view.inv_freq), keys


def _packed(
    view: KVView, one: Read, turns: Turns
) -> tuple[Float[Tensor, "b h t e"], Float[Tensor, "b g k e"]]:
    """The same, numbered anew."""
    queries, keys = _taken(view, one)
    (t, k), valid = (queries.shape[2], keys.shape[2]), view.valid
    if valid is None:
        if k not in turns:
            turns[k] = angles(torch.arange(k, device=keys.device), view.inv_freq, keys.dtype)
        cos, sin = turns[k]
        return turn(queries, cos[k - t :], sin[k - t :]), turn(keys, cos, sin)
    rank = valid.gather(-1, one.slots).cumsum(-1) - 1
    asking = valid[:, :1, -t:]
    behind = asking.sum(-1, keepdim=True) - asking.cumsum(-1)
    places = rank[:, :1, -1:] - behind
    return rotate(queries, places, view.inv_freq), rotate(keys, rank, view.inv_freq)


def _allowed(view: KVView, reads: Sequence[Read]) -> Bool[Tensor, "b g t k"] | None:
    """Which query may meet which key of all reads; None when all may."""
    t = view.queries.shape[2]
    if t == 1 and view.valid is None and all(one.allow is None for one in reads):
        return None
    last = torch.arange(view.seen - t, view.seen, device=view.keys.device)
    masks = []
    for one in reads:
        mask = reachable(view.tokens.gather(-1, one.slots), last)
        if view.valid is not None:
            mask = mask & view.valid.gather(-1, one.slots).unsqueeze(-2)
        masks.append(mask if one.allow is None else mask & one.allow)
    allowed = torch.cat(masks, -1)
    # What a padding query reads is of no account, but a softmax over nothing is not a number.
    return allowed if view.valid is None else allowed | ~view.valid[:, :, -t:, None]
