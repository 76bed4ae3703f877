"""Landmark attention: a token after each block says when the block is worth reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tokenry.card import Card, Claim
from tokenry.method import In, MarkedPolicy, MarkedView
from tokenry.ops.attention import grouped, ungrouped
from tokenry.ops.landmark import best_blocks, grouped_softmax
from tokenry.ops.rope import rotate
from tokenry.ops.slots import take_slots


@final
@dataclass(frozen=True, kw_only=True)
class Landmark(MarkedPolicy):
    r"""Gate each block by its landmark, and read the blocks whose landmarks score highest.

    The model is trained with this attention (`keep=1`): one softmax over the tokens of the query's
    own block and the landmarks of the earlier ones, and inside each earlier block one more, times
    the weight of its landmark. Afterwards a query reads its own block, the blocks that came in
    with it, and the `k` best of all others. Those are squeezed together: the newest `k` stand
    where they are, older ones directly before these, so that no distance exceeds `k + 2` blocks
    and the chunk, whatever the length of the text.

    Args:
        keep: Share of the slots that a query reads; sets `k` for each chunk.
        block: Tokens before each landmark, as in training (paper: l_block).
        blocks: Most blocks retrieved, whatever `keep` says (paper: k); no limit by default.
        chunk: Tokens that come in together and always see each other.
        choice: Whether each query and head retrieves for itself, or all heads of a query
            together, or all queries of a chunk for each head.

    Raises:
        UsageError: If a setting is out of range.

    >>> Landmark(block=63, blocks=4).describe()
    'Landmark(block=63, blocks=4, keep=1.0)'

    Source: Mohtashami and Jaggi 2023, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="landmark",
        name="Landmark Attention",
        title="Landmark Attention: Random-Access Infinite Context Length for Transformers",
        summary="Trains a token that stands for its block; a query reads the blocks that it picks.",
        family="cache",
        have="a model that I can train, and texts longer than its context",
        want="any place of the text reachable, a few blocks read for each token",
        dial="keep sets how many blocks are retrieved (paper: k, whatever the length)",
        needs="training",
        year=2023,
        arxiv="2305.16300",
        venue="NeurIPS 2023",
        code="https://github.com/epfml/landmark-attention",
        code_license="Apache-2.0",
        claims=(
            Claim(
                paper="LLaMA-7B, tuned at 512 tokens, finds a pass key in a text of 32k.",
                effect="Of two small models trained at 120 tokens, at four times that length the "
                "one with landmarks finds the pass key from two blocks, the other often fails; the "
                "block retrieved first is mostly the right one.",
                test="tests/cache/test_landmark.py::"
                "test_two_blocks_find_a_pass_key_at_four_times_the_length",
                measured="200 keys of 4 letters, 3 layers, width 128: found at 480 tokens 0.990 "
                "(0.335 from all blocks), without landmarks 0.675; at 960 tokens 1.000 against "
                "0.255; right block first in 0.935.",
            ),
        ),
        differs=(
            "Landmarks never show: they go in beside the tokens before the decoder, and after it "
            "the output of a landmark stands in place of that of the token it follows. Labels, "
            "losses and generate are those of the plain text; the paper puts them into the data.",
            "Keys stay rotated to their true places, and the query turns for each block that it "
            "reads elsewhere: the same distances, without rotating every key that is read.",
            "No dropout on the gates and no random jumps of position in training.",
        ),
    )

    blocks: Annotated[int | None, In(1, 1_000_000), "how many blocks are retrieved at most"] = None
    chunk: Annotated[int, In(1, 1_000_000), "how many tokens come in together"] = 128
    choice: Annotated[
        Literal["query", "heads", "chunk"], "what retrieves together: nothing, heads, or queries"
    ] = "query"

    def attend(self, view: MarkedView) -> tuple[Float[Tensor, "b t h v"], Int[Tensor, "b h k"]]:
        """Grouped softmax over what each chunk of queries reads."""
        (b, _, s, _), t = view.keys.shape, view.queries.shape[2]
        valid = view.valid
        if valid is None:
            valid = torch.ones(b, s, dtype=torch.bool, device=view.keys.device)
        # The slots of each text by rank, its padding behind them.
        order = (~valid).int().argsort(dim=1, stable=True)
        out, read = [], order[:, None]
        for start in range(s - t, s, self.chunk):
            some, read = self._chunk(view, valid, order, start, min(start + self.chunk, s))
            out.append(some)
        return torch.cat(out, 2).transpose(1, 2), read

    def _chunk(
        self,
        view: MarkedView,
        valid: Bool[Tensor, "b s"],
        order: Int[Tensor, "b s"],
        start: int,
        stop: int,
    ) -> tuple[Float[Tensor, "b h t v"], Int[Tensor, "b h k"]]:
        """The output of the queries from `start` to `stop`, and what slots the last one read."""
        skipped, w = valid.shape[1] - view.queries.shape[2], self.block + 1
        queries = view.queries[:, :, start - skipped : stop - skipped]
        before = valid[:, :start].sum(1)
        n, k = before // w, self._count(before)
        if bool((k >= n).all()):
            n = torch.zeros_like(n)
        near = _local(view, queries, order, valid[:, :stop].cumsum(1)[:, start:] - 1, n, w)
        if not n.any():
            weights = grouped_softmax(near.scores, near.earlier, near.own)
            return near.sum(weights), near.last
        with torch.no_grad():
            chosen, place = self._retrieve(view, queries, order, valid[:, start:stop], n, k)
        far = _retrieved(view, queries, order, chosen, place, n, w)
        weights = grouped_softmax(
            torch.cat([far.scores, near.scores], -2),
            torch.cat([far.earlier, near.earlier.expand(-1, far.earlier.shape[1], -1, -1)], -1),
            torch.cat([far.own, near.own], -2),
        )
        count = far.scores.shape[-2]
        out = far.sum(weights[..., :count, :]) + near.sum(weights[..., count:, :])
        return out, torch.cat([far.last, near.last], -1)

    def _count(self, before: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
        """How many blocks the first query of a chunk retrieves, given the slots before it."""
        local = before % (self.block + 1) + 1
        k = ((before + 1) * self.keep - local).div(self.block + 1).round().long().clamp(min=1)
        return k if self.blocks is None else k.clamp(max=self.blocks)

    def _retrieve(
        self,
        view: MarkedView,
        queries: Float[Tensor, "b h t e"],
        order: Int[Tensor, "b s"],
        asking: Bool[Tensor, "b t"],
        n: Int[Tensor, " b"],
        k: Int[Tensor, " b"],
    ) -> tuple[Int[Tensor, "b #h #t k"], Int[Tensor, "b #h #t k"]]:
        """The blocks that each query reads, by age, and where they then stand, counted in blocks.

        Where a text has fewer, the others are the number of blocks of the longest.
        """
        w, most, g = self.block + 1, int(n.max()), view.keys.shape[1]
        every = torch.arange(most, device=n.device)
        marks = order[:, w - 1 : most * w : w].unsqueeze(1).expand(-1, g, -1)
        squeezed = (n - k - 1).unsqueeze(1)
        shift = (squeezed - every).clamp(min=0).unsqueeze(1) * w
        keys = rotate(take_slots(view.keys, marks), shift, view.inv_freq)
        scores = ungrouped(grouped(queries, g) @ keys.transpose(-1, -2), queries.shape[2])
        n, k, squeezed = (x.view(-1, 1, 1, 1) for x in (n, k, squeezed))
        scores = (scores * view.scale).float().masked_fill(every >= n, float("-inf"))
        if self.choice != "query":
            share = scores.log_softmax(-1).masked_fill(~asking[:, None, :, None], float("-inf"))
            share = share.nan_to_num(nan=float("-inf"), neginf=float("-inf"))
            scores = share.amax(1 if self.choice == "heads" else 2, keepdim=True)
        chosen = best_blocks(scores, k.minimum(n))
        rank = torch.arange(chosen.shape[-1], device=n.device)
        place = (squeezed + rank + (chosen >= n - k)).where(n > k, chosen)
        return chosen, place


class _Part(NamedTuple):
    """Whole blocks that some queries may read: scores, masks, values, and the last one's slots."""

    scores: Float[Tensor, "b h t n w"]
    earlier: Bool[Tensor, "b #h t n"]
    own: Bool[Tensor, "b #h t n l"]
    values: Float[Tensor, "b x c nw v"]
    last: Int[Tensor, "b h k"]

    def sum(self, weights: Float[Tensor, "b h t n w"]) -> Float[Tensor, "b h t v"]:
        """The values, weighted."""
        x, c, s, _ = self.values.shape[1:]
        out = weights.reshape(weights.shape[0], x, c, -1, s) @ self.values
        return out.reshape(*weights.shape[:3], -1)


def _local(
    view: MarkedView,
    queries: Float[Tensor, "b h t e"],
    order: Int[Tensor, "b s"],
    rank: Int[Tensor, "b t"],
    n: Int[Tensor, " b"],
    w: int,
) -> _Part:
    """The blocks from the `n`-th of each text on, as far as the last query."""
    (b, h, t, _), g = queries.shape, view.keys.shape[1]
    block, offset = (rank // w - n.unsqueeze(1)), rank % w
    m = max(1, int(block.max()) + 1)
    inside = torch.arange(m * w, device=n.device) + n.unsqueeze(1) * w
    slots = order.gather(1, inside.clamp(max=order.shape[1] - 1)).unsqueeze(1).expand(-1, g, -1)
    keys, values = take_slots(view.keys, slots), take_slots(view.values, slots)
    scores = ungrouped(grouped(queries * view.scale, g) @ keys.transpose(-1, -2), t)
    every = torch.arange(m, device=n.device)
    here = (every == block.unsqueeze(-1)).unsqueeze(-1)
    own = here & (torch.arange(w - 1, device=n.device) <= offset[..., None, None])
    read = slots[:, :1, : max(1, int((rank[:, -1] - n * w).max()) + 1)].expand(-1, h, -1)
    return _Part(
        scores.view(b, h, t, m, w),
        (every < block.unsqueeze(-1)).unsqueeze(1),
        own.unsqueeze(1),
        values.unsqueeze(2),
        read,
    )


def _retrieved(
    view: MarkedView,
    queries: Float[Tensor, "b h t e"],
    order: Int[Tensor, "b s"],
    chosen: Int[Tensor, "b #h #t k"],
    place: Int[Tensor, "b #h #t k"],
    n: Int[Tensor, " b"],
    w: int,
) -> _Part:
    """The blocks `chosen`; a query turns back by as far as each was moved towards it."""
    (b, h, t, e), (k, c) = queries.shape, (chosen.shape[-1], chosen.shape[2])
    found = chosen < n.view(-1, 1, 1, 1)
    chosen = chosen.clamp(max=int(n.max()) - 1)
    turn = ((chosen - place) * w).expand(b, h, t, k).flatten(2)
    turned = queries.unsqueeze(3).expand(b, h, t, k, e).flatten(2, 3)
    turned = rotate(turned, turn, view.inv_freq).view(b, h, c, -1, k, e).transpose(3, 4)
    inside = chosen.unsqueeze(-1) * w + torch.arange(w, device=n.device)
    text = torch.arange(b, device=n.device).view(-1, 1, 1, 1)
    slots = order[text, inside.flatten(3)]
    head = torch.arange(h, device=n.device).view(1, -1, 1, 1) // (h // view.keys.shape[1])
    keys = view.keys[text, head, slots].view(b, h, c, k, w, e)
    scores = (turned * view.scale) @ keys.transpose(-1, -2)
    scores = scores.transpose(3, 4).reshape(b, h, t, k, w)
    return _Part(
        scores,
        found.expand(b, h, t, k),
        found.new_zeros(b, 1, t, k, w - 1),
        view.values[text, head, slots],
        slots[:, :, -1].expand(b, h, -1),
    )
