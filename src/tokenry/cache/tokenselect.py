"""TokenSelect: all slots stay, each query chunk reads those that its heads vote for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool1d, normalize, pad

from tokenry.card import Card, Claim
from tokenry.method import CachePolicy, In, KVView, Read
from tokenry.ops.attention import by_key_head
from tokenry.ops.rope import rotate


@final
@dataclass(frozen=True, kw_only=True)
class TokenSelect(CachePolicy):
    r"""Read the first slots, the last ones, and those between that the query heads vote for.

    With $\bar q_h$ the mean of the chunk's queries, placed behind the window, and $k_j$ the key of
    slot $j$ without rotation, each head spreads one vote over all slots between:
    $p_j = \sum_h \mathrm{softmax}_j(\bar q_h \cdot k_j)$. All heads of a layer read the slots of
    highest $p_j$. What is read is numbered anew without gaps, so that no distance exceeds what
    was read. While single tokens are decoded, the vote of an earlier one counts as long as the
    two queries are alike.

    Args:
        keep: Share of the full cache's slots that the last query reads.
        sinks: First slots that are always read, at most (paper: n_init).
        local: Last slots that are always read, at most (paper: n_local).
        edge: Largest share of what is read that sinks and window take together.
        chunk: Queries that select together (paper: prefill chunk).
        reuse: Cosine from which an earlier vote counts again; above 1 for never (paper: threshold
            of the selection cache).
        pool: Over how many neighbours the highest vote counts; odd, 1 for none.
        positions: Where slots stand: numbered anew, or each where it was.
        released: Compare head i with key head i mod g, as the released kernel does.

    Raises:
        UsageError: If a setting is out of range.

    >>> TokenSelect(keep=0.25).describe()
    'TokenSelect(keep=0.25)'

    Source: Wu et al. 2024, sections 3 and 4.
    """

    card: ClassVar[Card] = Card(
        slug="tokenselect",
        name="TokenSelect",
        title="TokenSelect: Efficient Long-Context Inference and Length Extrapolation for LLMs "
        "via Dynamic Token-Level KV Cache Selection",
        summary="Keeps all slots and reads, query by query, those that the heads vote for.",
        family="cache",
        have="a long context of which every answer needs another small part",
        want="faster decoding without forgetting anything; memory stays that of a full cache",
        dial="keep sets the slots read by the last query: sinks + window + voted ones (paper: "
        "n_init + n_local + k = 2,688 whatever the length)",
        year=2024,
        arxiv="2411.02886",
        venue="EMNLP 2025",
        code="https://github.com/pzs19/TokenSelect",
        claims=(
            Claim(
                paper="Finds what lies anywhere in a long context, where a window has lost it.",
                effect="Needles far before the window: more found than by StreamingLLM.",
                test="tests/cache/test_tokenselect.py::test_claim_finds_what_a_window_has_lost",
                measured="Numbers in documentation, SmolLM2-135M, keep=0.25: 6 of 6 in 1,000 "
                "tokens and 5 of 6 in 2,000; StreamingLLM none. At keep=0.1 4 of 6 in 1,000, but "
                "0 of 3 in 2,000, where the full cache finds all.",
            ),
            Claim(
                paper="Attention up to 23.84 times faster, 2.28 times lower latency end to end.",
                effect="At 32,768 slots a decoding step's attention takes less of the processor's "
                "time than full attention.",
                not_shown="Seconds depend on the machine. One layer of SmolLM2's shape on one "
                "thread: 1.6 to 1.8 times less for the paper's 2,688 slots, level at keep=0.25, "
                "twice as much at keep=0.5: the vote reads every key, and what is read is copied. "
                "The whole model decodes 1.24 times faster at 8,192 tokens with keep=0.25, and not "
                "faster with 0.5 (bench/cache.py).",
            ),
        ),
        differs=(
            "The budget is a share of the context, not 2,688 slots. Sinks and window are the "
            "paper's 128 and 512 at most, and together at most the share `edge` of what is read, "
            "so that contexts of a few hundred tokens work; what is left goes to voted slots.",
            "The cache of selections holds the vote, not the set, so that the set follows the "
            "budget as it grows; it serves decoding only, as chunks of a prompt are no sequence "
            "of like queries.",
            "Under shared key heads, head i is compared with key head i // (h / g), where its "
            "keys are; the released kernel takes i mod g (`released=True` does too).",
            "The vote is computed in float32; the released kernel computes it in bfloat16.",
            "The cache of selections is on, as in the paper; the released code switches it off.",
        ),
    )

    sinks: Annotated[int, In(0, 1_000_000), "how many first slots are always read, at most"] = 128
    local: Annotated[int, In(1, 1_000_000), "how many last slots are always read, at most"] = 512
    edge: Annotated[float, In(0, 1), "the share of sinks and window in what is read, at most"] = 0.5
    chunk: Annotated[int, In(1, 1_000_000), "how many queries select together"] = 512
    reuse: Annotated[float, In(-1, 2), "the cosine from which an earlier vote counts again"] = 0.9
    pool: Annotated[int, In(1, 999), "over how many neighbours the highest vote counts"] = 1
    positions: Annotated[Literal["packed", "own"], "where slots that are read stand"] = "packed"
    released: Annotated[bool, "whether heads are compared as in the released kernel"] = False

    unrotated: ClassVar[bool] = True

    @property
    def least(self) -> int:
        """A sink and a voted slot."""
        return 2

    def select(self, view: KVView) -> tuple[Read, ...]:
        """Read all while the budget allows; else sinks, window, and the slots of most votes."""
        (b, g, s), t = view.keys.shape[:3], view.queries.shape[2]
        every = torch.arange(s, device=view.keys.device)
        if view.count >= s:
            return (Read(every.expand(b, g, -1)),)
        first, last = self._always(view.count - t, t)
        if view.valid is None:
            vote = self._vote(view, first, last, None)
            most = vote[:, first : s - last].topk(view.count - first - last, sorted=False)
            voted = most.indices.sort().values + first
            start, end = every[:first].expand(b, -1), every[s - last :].expand(b, -1)
            chosen = torch.cat([start, voted, end], 1)
        else:
            valid = view.valid[:, 0]
            between = _between(valid, first, last)
            vote = self._vote(view, first, last, between)
            vote = vote.masked_fill(~between, float("inf")).masked_fill(~valid, float("-inf"))
            chosen = vote.topk(view.count, sorted=False).indices.sort().values
        slots = chosen.unsqueeze(1).expand(-1, g, -1)
        return (Read(slots, packed=self.positions == "packed"),)

    def _always(self, past: int, t: int) -> tuple[int, int]:
        """How many first and last slots are read in any case, of `past` and a chunk of `t`."""
        room = past * self.edge / (self.sinks + self.local)
        first = min(self.sinks, math.ceil(room * self.sinks))
        return first, t + min(max(0, self.local - t), int(room * self.local))

    def _vote(
        self, view: KVView, first: int, last: int, between: Bool[Tensor, "b s"] | None
    ) -> Float[Tensor, "b s"]:
        """The vote of this chunk, or an earlier one that still counts."""
        probe, memory = self._probe(view), view.memory
        if view.queries.shape[2] > 1 or self.reuse > 1:
            memory.clear()
            return self._count(view.keys, probe, first, last, between)
        unit = normalize(probe.flatten(1))
        if memory.get("seen") != view.seen - 1:
            vote = self._count(view.keys, probe, first, last, between)
        else:
            vote = pad(memory["vote"], (0, 1))
            alike = (unit * memory["unit"]).sum(1, keepdim=True) >= self.reuse
            if not alike.all():
                new = self._count(view.keys, probe, first, last, between)
                vote = torch.where(alike, vote, new)
            unit = torch.where(alike, memory["unit"], unit)
        memory.update(vote=vote, unit=unit, seen=view.seen)
        return vote

    def _probe(self, view: KVView) -> Float[Tensor, "b h e"]:
        """The mean query of each head, the chunk placed behind the window."""
        t = view.queries.shape[2]
        places = torch.arange(self.local, self.local + t, device=view.keys.device)
        queries = rotate(view.queries, places, view.inv_freq).float()
        if view.valid is None:
            return queries.mean(2)
        real = view.valid[:, :1, -t:, None]
        return (queries * real).sum(2) / real.sum(2).clamp(min=1)

    def _count(
        self,
        keys: Float[Tensor, "b g s e"],
        probe: Float[Tensor, "b h e"],
        first: int,
        last: int,
        between: Bool[Tensor, "b s"] | None,
    ) -> Float[Tensor, "b s"]:
        """Each head spreads one vote over the slots between sinks and window."""
        g, s = keys.shape[1:3]
        heads = by_key_head(probe, g)
        if self.released:
            heads = probe.view(len(probe), -1, g, probe.shape[-1]).transpose(1, 2)
        ends = (first, last) if between is None else (0, 0)
        scores = (heads @ keys[:, :, ends[0] : s - ends[1]].float().mT).flatten(1, 2)
        if between is not None:
            # A text that is mostly padding may have nothing between, and nothing to share out.
            scores = scores.masked_fill(~between.unsqueeze(1), -torch.finfo(scores.dtype).max)
        vote = scores.softmax(-1).sum(1)
        if self.pool > 1:
            vote = max_pool1d(vote, self.pool, 1, self.pool // 2)[:, : vote.shape[1]]
        return pad(vote, ends)


def _between(valid: Bool[Tensor, "b s"], first: int, last: int) -> Bool[Tensor, "b s"]:
    """The slots behind the first and before the last ones, padding not counted."""
    rank = valid.cumsum(-1) - 1
    held = valid.sum(-1, keepdim=True)
    return (rank >= first) & (rank < held - last) & valid
