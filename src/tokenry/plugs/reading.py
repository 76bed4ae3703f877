"""Attention of a chunk of queries over the slots that a policy selects for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tokenry.method import CachePolicy, KVView, Read
from tokenry.ops.attention import attend, grouped
from tokenry.ops.budget import kept_count
from tokenry.ops.rope import rotate
from tokenry.ops.slots import reachable, take_slots

if TYPE_CHECKING:
    from tokenry.plugs.attention import Call


def read_selected(
    policy: CachePolicy, view: KVView, queries: Float[Tensor, "b h t e"], places: Int[Tensor, "b t"]
) -> tuple[Float[Tensor, "b t h v"], Int[Tensor, "b g k"]]:
    """Ask the policy chunk by chunk, and attend to what it names.

    Args:
        policy: Who selects.
        view: The whole layer, with the tokens of these queries at the end.
        queries: Rotated to `places`.
        places: Position of each query as the model counts.

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
            positions=None if view.positions is None else view.positions[:, :seen],
            queries=queries[:, :, start:stop],
            places=places[:, start:stop],
        )
        with torch.no_grad():
            reads = policy.select(part)
        out.append(_attend(part, reads))
        slots = torch.cat([one.slots for one in reads], -1)
    return torch.cat(out, 2).transpose(1, 2), slots
