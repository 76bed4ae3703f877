"""Exact attention over a sequence that lies in shards on several ranks.

All ranks of a group call the same functions in the same order, backward passes included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from tokenry.method import SequenceRing, Visit
from tokenry.ops.lse import attend, attend_backward, merge
from tokenry.plugs.circulation import Rows, Run, Traffic, circulate, start


def token_ring(
    q: Float[Tensor, "b h n e"],
    k: Float[Tensor, "b g n e"],
    v: Float[Tensor, "b g n e"],
    ring: SequenceRing,
    *,
    causal: bool = True,
    scale: float | None = None,
    valid: Bool[Tensor, "b n"] | None = None,
    group: dist.ProcessGroup | None = None,
    traffic: Traffic | None = None,
) -> Float[Tensor, "b h n e"]:
    """Exact attention over all ranks' shards; queries travel, keys and values stay.

    In the backward pass queries travel once more, with the gradients of their outputs; the
    gradients of keys and values never leave their rank.

    Args:
        q: Queries of this rank's shard, in the order of `ring.chunks`.
        k: Keys of the shard; `h` is a multiple of `g`.
        v: Values of the shard.
        ring: Who holds whose queries when: `TokenRing()`.
        causal: Whether a query sees only keys at its own place and before.
        scale: Factor before the softmax; one over the root of `e` when not given.
        valid: False where a key of the shard is padding.
        group: The ranks; all of the job when not given.
        traffic: Is told what this rank sends and computes.

    Returns:
        This rank's rows of the attention over the whole sequence, differentiable.

    Raises:
        UsageError: If there is no process group with this rank in it, heads do not match, or
            the shard cannot be cut into its chunks.
    """
    run = start("token_ring", q, k, ring, causal, scale, valid, group, traffic)
    out: Tensor = _QueriesTravel.apply(q, k, v, run)  # type: ignore[no-untyped-call]
    return out


def key_ring(
    q: Float[Tensor, "b h n e"],
    k: Float[Tensor, "b g n e"],
    v: Float[Tensor, "b g n e"],
    ring: SequenceRing,
    *,
    causal: bool = True,
    scale: float | None = None,
    group: dist.ProcessGroup | None = None,
    traffic: Traffic | None = None,
) -> Float[Tensor, "b h n e"]:
    """Plain ring attention, the baseline: keys and values travel, whole, at every step.

    In the backward pass they travel once more, and each rank sends its share of their gradients
    home: as many bytes in each step as gradients that travel along.

    Args:
        q: Queries of this rank's shard, in the order of `ring.chunks`.
        k: Keys of the shard; `h` is a multiple of `g`.
        v: Values of the shard.
        ring: How the sequence is cut into shards; only its `chunks` are used.
        causal: Whether a query sees only keys at its own place and before.
        scale: Factor before the softmax; one over the root of `e` when not given.
        group: The ranks; all of the job when not given.
        traffic: Is told what this rank sends and computes.

    Returns:
        This rank's rows of the attention over the whole sequence, differentiable.

    Raises:
        UsageError: As `token_ring`.

    Source: Liu, Zaharia and Abbeel 2023, Ring Attention with Blockwise Transformers.
    """
    run = start("key_ring", q, k, ring, causal, scale, None, group, traffic)
    out: Tensor = _KeysTravel.apply(q, k, v, run)  # type: ignore[no-untyped-call]
    return out


class _QueriesTravel(torch.autograd.Function):
    """K and V stay; the backward pass sends Q and what belongs to it round once more."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, run: Run) -> Tensor:
        """Merge what the other ranks' keys say to this rank's queries."""
        exact = torch.promote_types(q.dtype, torch.float32)
        out = torch.zeros_like(q, dtype=exact)
        lse = q.new_full(q.shape[:3], float("-inf"), dtype=exact)

        def work(visit: Visit, rows: Rows) -> Rows:
            seen = visit.tile.keys * run.chunk
            mask = run.mask(visit, visit.owner, run.rank, q)
            run.count(rows[0], k[:, :, :seen], mask)
            if not rows[0].shape[2]:
                return ()
            mask = run.unpadded(mask, seen)
            return attend(rows[0], k[:, :, :seen], v[:, :, :seen], run.scale, mask)

        def home(visit: Visit, rows: Rows) -> None:
            mine = slice(visit.carried * run.chunk, None)
            out[:, :, mine], lse[:, :, mine] = merge(out[:, :, mine], lse[:, :, mine], *rows)

        circulate(run, "forward", run.visit, (q,), (q, lse), work, home)
        result = out.to(q.dtype)
        ctx.save_for_backward(q, k, v, result, lse)
        ctx.run = run
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Gradients of K and V gather where they are; shares of those of Q come home."""
        (q, k, v, lse), delta, (dq, dk, dv), run = _resume(ctx, grad)

        def work(visit: Visit, rows: Rows) -> Rows:
            if not rows[0].shape[2]:
                return ()
            queries, gradient, total, inner = rows
            seen = slice(visit.tile.keys * run.chunk)
            mask = run.unpadded(run.mask(visit, visit.owner, run.rank, q), seen.stop)
            part, keys, values = attend_backward(
                gradient, queries, k[:, :, seen], v[:, :, seen], total, inner, run.scale, mask
            )
            dk[:, :, seen] += keys
            dv[:, :, seen] += values
            return (part.to(q.dtype),)

        def home(visit: Visit, rows: Rows) -> None:
            dq[:, :, visit.carried * run.chunk :] += rows[0]

        circulate(run, "backward", run.visit, (q, grad, lse, delta), (q,), work, home)
        return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype), None


class _KeysTravel(torch.autograd.Function):
    """Q stays; K and V go round, and in the backward pass once more."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, run: Run) -> Tensor:
        """Merge attention to each rank's keys as they come by."""
        exact = torch.promote_types(q.dtype, torch.float32)
        out = torch.zeros_like(q, dtype=exact)
        lse = q.new_full(q.shape[:3], float("-inf"), dtype=exact)

        def work(visit: Visit, rows: Rows) -> Rows:
            mine = slice(visit.tile.queries * run.chunk, None)
            keys, values = (x[:, :, : visit.tile.keys * run.chunk] for x in rows)
            mask = run.mask(visit, run.rank, visit.owner, q)
            run.count(q[:, :, mine], keys, mask)
            if keys.shape[2]:
                part = attend(q[:, :, mine], keys, values, run.scale, mask)
                out[:, :, mine], lse[:, :, mine] = merge(out[:, :, mine], lse[:, :, mine], *part)
            return ()

        circulate(run, "forward", run.key_visit, (k, v), (), work, lambda visit, rows: None)
        result = out.to(q.dtype)
        ctx.save_for_backward(q, k, v, result, lse)
        ctx.run = run
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """The gradient of Q gathers where it is; shares of those of K and V come home."""
        (q, k, v, lse), delta, (dq, dk, dv), run = _resume(ctx, grad)

        def work(visit: Visit, rows: Rows) -> Rows:
            mine = slice(visit.tile.queries * run.chunk, None)
            seen = slice(visit.tile.keys * run.chunk)
            shares = torch.zeros_like(rows[0]), torch.zeros_like(rows[1])
            if seen.stop:
                mask = run.mask(visit, run.rank, visit.owner, q)
                inner, gradient, queries, total = (x[:, :, mine] for x in (delta, grad, q, lse))
                keys, values = (x[:, :, seen] for x in rows)
                part, *parts = attend_backward(
                    gradient, queries, keys, values, total, inner, run.scale, mask
                )
                dq[:, :, mine] += part
                for share, value in zip(shares, parts, strict=True):
                    share[:, :, seen] = value
            return shares

        def home(visit: Visit, rows: Rows) -> None:
            for total, share in zip((dk, dv), rows, strict=True):
                total += share

        circulate(run, "backward", run.key_visit, (k, v), (k, v), work, home)
        return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype), None


def _resume(ctx: Any, grad: Tensor) -> tuple[Sequence[Tensor], Tensor, Sequence[Tensor], Run]:
    """What a forward pass left, the sum of output times gradient, and gradients still at zero."""
    q, k, v, out, lse = ctx.saved_tensors
    delta = (grad.to(lse.dtype) * out.to(lse.dtype)).sum(-1)
    zeros = [torch.zeros_like(x, dtype=lse.dtype) for x in (q, k, v)]
    return (q, k, v, lse), delta, zeros, ctx.run
