"""TokenRing: keys and values stay, queries go round, partial outputs go straight home."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

from tokenry.card import Card, Claim
from tokenry.method import SequenceRing, Visit
from tokenry.ops.ring import tile


@final
@dataclass(frozen=True, kw_only=True)
class TokenRing(SequenceRing):
    r"""Sequence-parallel attention in which queries travel and keys and values do not.

    At step $s$ of $W$ rank $r$ holds the queries of rank $j = (r + s) \bmod W$ (without a causal
    mask $(r - s) \bmod W$). It attends with them to its own keys and sends the partial output and
    its log-sum-exp back to $j$, while the queries go on to the next rank. $j$ merges what comes.
    Under a causal mask whatever nobody further on needs is neither sent nor computed.

    Args:
        partition: "zigzag" cuts the sequence into $2W$ chunks and gives rank $r$ chunks $r$ and
            $2W - 1 - r$, so that a causal mask leaves all ranks equally much; "contiguous" gives
            rank $r$ the $r$-th of $W$ chunks.

    >>> ring = TokenRing()
    >>> ring.chunks(1, world=4)
    (1, 6)
    >>> visit = ring.visit(1, step=3, world=4, causal=True)
    >>> visit.owner, visit.tile
    (0, Tile(queries=1, keys=2, masked=False))

    Source: Wang et al. 2024, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="tokenring",
        name="TokenRing",
        title="TokenRing: An Efficient Parallelism Framework for Infinite-Context LLMs via "
        "Bidirectional Communication",
        summary="Attends exactly to a text that lies on several devices; queries travel, not keys.",
        family="cache",
        have="a context that does not fit on one device, and several devices",
        want="exact attention over all of it, with gradients",
        dial="no keep: every token takes part, and the output is the untouched model's; "
        "`tokenry.plugs.over_ring` switches it on",
        exact=True,
        year=2024,
        arxiv="2412.20501",
        venue="arXiv 2024",
        code="https://github.com/ACA-Lab-SJTU/token-ring",
        code_license="MIT",
        claims=(
            Claim(
                paper="Queries travel one way and outputs the other at the same time, on links of "
                "their own; that costs less communication than K and V sent one way.",
                effect="With as many key heads as query heads, the busiest link of the forward "
                "pass carries about half of plain ring attention's bytes in a step.",
                test="tests/cache/test_tokenring.py::test_claim_half_the_bytes_on_the_busiest_link",
                measured="0.504 of ring attention's, 4 ranks, 8 heads of width 128, float32. Bytes "
                "of all links together: 1.004 of ring attention's, and 0.753 under a causal mask, "
                "where it drops the half of the queries that nobody further on needs; a ring that "
                "turns the other way could drop as many keys. Forward and backward: the backward "
                "pass alone takes 0.754, causal 0.565, since gradients of K and V stay at home.",
            ),
            Claim(
                paper="Less communication than ring attention, for language models at large.",
                effect="Fewer bytes on the busiest link also when query heads share key heads.",
                not_shown="Query heads stay as many while keys and values shrink. Of 8 query heads "
                "over 4, 2 and 1 key heads the busiest link carries 1.01, 2.02 and 4.03 of ring "
                "attention's bytes, all links under a causal mask 1.51, 3.01 and 6.02. The "
                "advantage is gone from two query heads a key head on. The same test as above.",
            ),
            Claim(
                paper="Zigzag shards balance the work of a causal mask.",
                effect="All ranks attend to equally many pairs, at every step.",
                test="tests/cache/test_tokenring.py::test_claim_all_ranks_compute_equally_much",
                measured="Equal at each step for 1 to 4 ranks; with contiguous shards the busiest "
                "of 4 ranks has 1.72 of the mean.",
            ),
            Claim(
                paper="A step takes 3.5 to 4.6 ms where ring attention takes 7.6 ms: 24,000 "
                "tokens, heads as in LLaMA-2-7B, four A10.",
                effect="Communication hides behind computation, and a pass is faster.",
                not_shown="On CPU ranks (gloo) messages and computation share the same cores, so "
                "that no overlap can be seen; it takes two GPUs or more. Bytes are shown instead.",
            ),
        ),
        differs=(
            "It has a backward pass; the released one only runs forward. Queries go round once "
            "more with the gradients of their outputs, shares of dQ go straight home, and dK and "
            "dV never leave their rank.",
            "Queries and results of a step leave in one batch of one process group; the released "
            "code makes a group for each.",
            "Padding may hide keys; a query that then sees none gets zeros. The released code has "
            "no padding.",
        ),
    )

    partition: Annotated[
        Literal["zigzag", "contiguous"], "how the sequence is cut into the ranks' shards"
    ] = "zigzag"

    def chunks(self, rank: int, world: int) -> tuple[int, ...]:
        """The chunks that a rank owns: two far apart, or one."""
        return (rank, 2 * world - 1 - rank) if self.partition == "zigzag" else (rank,)

    def visit(self, rank: int, step: int, world: int, causal: bool) -> Visit:
        """Whose queries a rank holds at a step, and which of its own keys they meet."""
        hop = -1 if causal else 1
        owner = (rank - hop * step) % world
        part = tile(self.chunks(owner, world), self.chunks(rank, world), causal)
        return Visit(
            owner=owner,
            source=(rank - hop) % world,
            onward=(rank + hop) % world,
            carried=part.queries,
            tile=part,
        )
