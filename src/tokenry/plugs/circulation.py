"""What goes from rank to rank: rows that travel round a ring, and results that go straight home.

All messages of a step go out in one batch, beside the computation of that step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor

from tokenry.errors import UsageError
from tokenry.method import SequenceRing, Visit
from tokenry.ops.ring import places, tile

Rows = tuple[Tensor, ...]
"""Tensors `(b, heads, rows, ...)` that belong together."""

Phase = Literal["forward", "backward"]
Kind = Literal["onward", "home"]


@dataclass(frozen=True, slots=True)
class Sent:
    """One message of one rank.

    Attributes:
        phase: Whether it belongs to a forward or a backward pass.
        step: The step beside whose computation it travels, from 0; beside the last, W, there is
            none.
        kind: Whether rows go on round the ring, or results go home.
        to: The rank it goes to.
        bytes: Its size, measured from the tensor.
    """

    phase: Phase
    step: int
    kind: Kind
    to: int
    bytes: int


@dataclass(slots=True)
class Traffic:
    """What one rank sent and computed.

    Attributes:
        sent: One entry for each message.
        pairs: Query-key pairs that each step of a forward pass attended to; those of one head of
            one example.
    """

    sent: list[Sent] = field(default_factory=list)
    pairs: list[int] = field(default_factory=list)


def membership(who: str, group: dist.ProcessGroup | None) -> tuple[dist.ProcessGroup, int, int]:
    """The group, this process's rank in it, and its size.

    Raises:
        UsageError: If there is no process group, or this process is not in it.
    """
    if not (dist.is_available() and dist.is_initialized()):
        raise UsageError(
            f"{who}: there is no process group; start the script with torchrun and call "
            'torch.distributed.init_process_group("nccl"), or "gloo" without GPUs, first.'
        )
    group = dist.group.WORLD if group is None else group
    if not isinstance(group, dist.ProcessGroup) or dist.get_rank(group) < 0:
        raise UsageError(
            f"{who}: rank {dist.get_rank()} is not in the group; call it on the group's ranks only."
        )
    return group, dist.get_rank(group), dist.get_world_size(group)


@dataclass(frozen=True, eq=False)
class Run:
    """One attention over the ring, as one rank sees it."""

    ring: SequenceRing
    causal: bool
    scale: float
    valid: Tensor | None
    group: dist.ProcessGroup
    rank: int
    world: int
    chunk: int
    traffic: Traffic

    def visit(self, rank: int, step: int) -> Visit:
        """What a rank has before it when queries travel."""
        return self.ring.visit(rank, step, self.world, self.causal)

    def key_visit(self, rank: int, step: int) -> Visit:
        """What a rank has before it when keys and values travel."""
        owner = (rank - step) % self.world
        mine, theirs = (self.ring.chunks(r, self.world) for r in (rank, owner))
        return Visit(
            owner=owner,
            source=(rank - 1) % self.world,
            onward=(rank + 1) % self.world,
            carried=0,
            tile=tile(mine, theirs, self.causal),
        )

    def mask(self, visit: Visit, queries: int, keys: int, like: Tensor) -> Tensor | None:
        """Which of a tile's queries of one rank see which keys of another; None when all do."""
        if not visit.tile.masked:
            return None
        rows, columns = (self.ring.chunks(rank, self.world) for rank in (queries, keys))
        late = places(rows[visit.tile.queries :], self.chunk).to(like.device)
        early = places(columns[: visit.tile.keys], self.chunk).to(like.device)
        return (late.unsqueeze(1) >= early)[None, None]

    def count(self, q: Tensor, k: Tensor, mask: Tensor | None) -> None:
        """Note how many pairs a step attends to."""
        self.traffic.pairs.append(q.shape[2] * k.shape[2] if mask is None else int(mask.sum()))

    def unpadded(self, mask: Tensor | None, keys: int) -> Tensor | None:
        """The mask without the padding among the first of this rank's keys."""
        if self.valid is None:
            return mask
        valid = self.valid[:, None, None, :keys]
        return valid if mask is None else mask & valid


def start(
    who: str,
    q: Tensor,
    k: Tensor,
    ring: SequenceRing,
    causal: bool,
    scale: float | None,
    valid: Tensor | None,
    group: dist.ProcessGroup | None,
    traffic: Traffic | None,
) -> Run:
    """Everything that stays the same during one attention, checked.

    Args:
        who: The function that is called, for messages.
        q: Queries of this rank's shard, `(b, h, n, e)`.
        k: Keys of the shard, `(b, g, n, e)`.
        ring: How the sequence is cut.
        causal: Whether a query sees only keys at its own place and before.
        scale: Factor before the softmax; one over the root of `e` when None.
        valid: False where a key of the shard is padding.
        group: The ranks; all of the job when None.
        traffic: Is told what this rank sends and computes.

    Raises:
        UsageError: If there is no process group with this rank in it, heads do not match, or
            the shard cannot be cut into its chunks.
    """
    group, rank, world = membership(who, group)
    parts, n = len(ring.chunks(rank, world)), q.shape[2]
    if q.shape[1] % k.shape[1]:
        raise UsageError(
            f"{who}: {q.shape[1]} query heads cannot share {k.shape[1]} key heads; their number "
            "must be a multiple."
        )
    if k.shape[2] != n or n % parts or not n:
        raise UsageError(
            f"{who}: a shard of {n} queries and {k.shape[2]} keys cannot be cut into {parts} "
            f"chunks; {ring.describe()} on {world} ranks needs a length that is a multiple of "
            f"{parts * world}, and all of a shard in one call."
        )
    return Run(
        ring=ring,
        causal=causal,
        scale=q.shape[3] ** -0.5 if scale is None else scale,
        valid=valid,
        group=group,
        rank=rank,
        world=world,
        chunk=n // parts,
        traffic=Traffic() if traffic is None else traffic,
    )


class _Post:
    """The messages of one step; they travel from `go` to `wait`."""

    def __init__(self, run: Run, phase: Phase, step: int) -> None:
        self._run, self._phase, self._step = run, phase, step
        self._messages: list[dist.P2POp] = []
        self._works: list[dist.Work] = []

    def send(self, kind: Kind, to: int, rows: Iterable[Tensor]) -> None:
        """Put rows into the batch; those that are empty stay here."""
        for x in rows:
            if x.numel():
                size = x.numel() * x.element_size()
                self._run.traffic.sent.append(Sent(self._phase, self._step, kind, to, size))
                self._add(dist.isend, x.contiguous(), to)

    def receive(self, source: int, like: Iterable[Tensor]) -> Rows:
        """Make room for rows of these shapes; they are there after `wait`."""
        rows = tuple(torch.empty_like(x, memory_format=torch.contiguous_format) for x in like)
        for x in rows:
            if x.numel():
                self._add(dist.irecv, x, source)
        return rows

    def go(self) -> None:
        """Start all of it."""
        if self._messages:
            self._works = dist.batch_isend_irecv(self._messages)

    def wait(self) -> None:
        """Until all has left and come."""
        for work in self._works:
            work.wait()

    def _add(self, verb: Callable[..., Any], x: Tensor, peer: int) -> None:
        group = self._run.group
        peer = dist.get_global_rank(group, peer)
        self._messages.append(dist.P2POp(verb, x, peer, group))


def circulate(
    run: Run,
    phase: Phase,
    visit: Callable[[int, int], Visit],
    cargo: Rows,
    results: Rows,
    work: Callable[[Visit, Rows], Rows],
    home: Callable[[Visit, Rows], None],
) -> None:
    """Send rows round the ring, work on those that come by, send what comes of it home.

    Args:
        run: The ring.
        phase: For the record.
        visit: What a rank has before it at a step.
        cargo: This rank's rows that travel.
        results: Tensors like those that come home for all of this rank's rows; none if none do.
        work: Makes the results for the rows of a visit.
        home: Takes the results for this rank's rows that a visit made.
    """
    held, done = cargo, Rows()
    for step in range(run.world + 1):
        here = visit(run.rank, step)
        post = _Post(run, phase, step)
        arriving, returning = Rows(), Rows()
        if step + 1 < run.world:
            less = (visit(here.onward, step + 1).carried - here.carried) * run.chunk
            more = visit(run.rank, step + 1).carried * run.chunk
            post.send("onward", here.onward, (x[:, :, less:] for x in held))
            arriving = post.receive(here.source, (x[:, :, more:] for x in cargo))
        if step > 1:
            host = next(r for r in range(run.world) if visit(r, step - 1).owner == run.rank)
            there = visit(host, step - 1)
            post.send("home", visit(run.rank, step - 1).owner, done)
            returning = post.receive(host, (x[:, :, there.carried * run.chunk :] for x in results))
        post.go()
        done = work(here, held) if step < run.world else Rows()
        post.wait()
        if step == 0:
            home(here, done)
        elif returning:
            home(there, returning)
        held = arriving
