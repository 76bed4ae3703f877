"""ActQKV: blocks of the past are fetched for the tokens of a chunk that stand out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from tokenry.card import Card, Claim
from tokenry.method import CachePolicy, In, KVView, Read
from tokenry.ops.blocks import block_cosine, evenness, foremost_mean, window_mass
from tokenry.ops.moments import deviation, update_moments
from tokenry.ops.rope import rotate


@final
@dataclass(frozen=True, kw_only=True)
class ActQKV(CachePolicy):
    r"""Read sinks, a window, and the blocks most like a probe-query of the chunk.

    The probe-query is the mean of the chunk's queries, each weighted by how far it lies from the
    running mean and variance of all queries before,
    $a_t \propto \mathrm{mean}_i\,(q_{ti}-\mu_i)^2 / (\sigma^2_i + \overline{\sigma^2}/100)$.
    Blocks are compared with it by cosine. A layer whose cosines are flat, measured by the entropy
    of their softmax over its recent past, gets more of the blocks that the budget allows. The
    window is read at true distances, all else at one constant distance.

    Args:
        keep: Share of the full cache's slots that the last query reads, averaged over layers.
        sinks: First slots that are always read, at most, in whole blocks (paper: n_init).
        local: Last slots each query reads, at most; all others stand so far (paper: n_local).
        edge: Largest share of what is read that sinks and window take together.
        chunk: Queries that select together (paper: execution chunk).
        block: Slots fetched together (paper: block size).
        members: Slots that stand for a block, the most attended to in the window (repr_topk).
        warmup: Chunks before queries are weighted; all weigh the same until then.
        history: Chunks whose entropy is averaged; before so many it does not count.
        sharpness: Factor before the softmax over cosines (paper: 1).

    Raises:
        UsageError: If a setting is out of range.

    >>> ActQKV(keep=0.25).least
    128

    Source: Xiao et al. 2025, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="actqkv",
        name="ActQKV",
        title="Activation-aware Probe-Query: Effective Key-Value Retrieval for Long-Context LLMs "
        "Inference",
        summary="Keeps all slots and reads blocks of them that a probe-query of the chunk fetches.",
        family="cache",
        have="a long context of which a passage here and there matters",
        want="decoding that looks at few keys; memory stays that of a full cache",
        dial="keep sets sinks + window + blocks, averaged over layers (paper: 64 + 512 + 46 x 32)",
        year=2025,
        arxiv="2502.13542",
        venue="ACL 2025",
        code="https://github.com/MrXiaoaa/ActQKV",
        claims=(
            Claim(
                paper="The probe-query fetches the passage that matters more often than the mean.",
                effect="One telling query among filler: more often the right block than by mean.",
                test="tests/cache/test_actqkv.py::test_claim_probe_fetches_what_one_query_asks_for",
                measured="One telling query of 256, 20 draws of noise: 1.00, by mean 0.45. On "
                "SmolLM2-135M, question behind filler, keep=0.2: 0.11 of a hidden number's slots "
                "are read, by mean 0.09; never fewer in 10 texts of 1,200 tokens.",
            ),
            Claim(
                paper="Best of the methods that fetch keys on LongBench and InfiniteBench.",
                effect="More hidden numbers found than by other rules at as many slots read.",
                not_shown="8 of 16 behind 623 tokens of Python's reference at keep=0.5, none at "
                "0.25; TokenSelect 15 and 15, the full cache 16, sinks and a window 6 and 1 "
                "(SmolLM2-135M, the question after the text). Contexts so short hold 20 blocks.",
            ),
        ),
        differs=(
            "The budget is a share of the context, not 46 blocks. Sinks and window are the "
            "paper's 64 and 512 at most, and together at most the share `edge` of what is read, "
            "sinks in whole blocks, so that contexts of a few hundred tokens work.",
            "Queries are weighted from the second chunk; the released code weighs them only "
            "after 1,000 calls (`warmup=1000`). Its statistics are shared by all layers and "
            "texts; here each layer of each cache has its own.",
            "Cap (twice) and floor (32 of 46) of a layer's blocks are shares of the mean.",
            "No block is favoured for being like the question: nothing says where it stands.",
        ),
    )

    sinks: Annotated[int, In(0, 1_000_000), "how many first slots are always read, at most"] = 64
    local: Annotated[int, In(1, 1_000_000), "how many last slots each query reads, at most"] = 512
    edge: Annotated[float, In(0, 0.9), "the share of sinks and window in what is read"] = 0.5
    chunk: Annotated[int, In(1, 1_000_000), "how many queries select together"] = 256
    block: Annotated[int, In(1, 100_000), "how many slots are fetched together"] = 32
    members: Annotated[int, In(1, 100_000), "how many slots stand for a block"] = 4
    warmup: Annotated[int, In(1, 1_000_000), "after how many chunks queries are weighted"] = 1
    history: Annotated[int, In(1, 100_000), "over how many chunks entropy is averaged"] = 100
    sharpness: Annotated[float, In(0, 10_000), "the factor before the softmax of cosines"] = 1.0

    unrotated: ClassVar[bool] = True
    expected_failures: ClassVar[dict[str, str]] = {
        "count": "blocks are read whole, so that up to half a block is missing or too many",
        "padding": "a block with padding beside tokens is read whole; padding gets no attention",
    }

    @property
    def least(self) -> int:
        """A block of sinks and the rest of another, beside the window."""
        return math.ceil(2 * self.block / (1 - self.edge))

    def select(self, view: KVView) -> tuple[Read, ...]:
        """Read all while the budget allows; else far blocks at one distance, and the window."""
        (b, g, s), t = view.keys.shape[:3], view.queries.shape[2]
        window, sinks = self._always(view.count - t)
        far = max(0, s - t - window + 1) // self.block
        blocks = self._blocks(view, far)
        probe = self._probe(view)
        every = torch.arange(s, device=view.keys.device)
        if view.count >= s:
            return (Read(every.expand(b, g, -1)),)
        mean = max(0.0, (view.count - s) / self.block + far - sinks)
        chosen, granted = self._fetch(view, block_cosine(probe, blocks), sinks, mean)
        inside = chosen.unsqueeze(-1) * self.block + every[: self.block]
        rest = every[far * self.block : s - window].expand(b, -1)
        slots = torch.cat([inside.flatten(1), rest], 1).unsqueeze(1)
        near = every[s - t - window + 1 :]
        beyond = within = None
        if t > 1 or (b > 1 and not granted.all()):  # a text alone reads all it chose
            asking = every[-t:, None]
            opened = granted.repeat_interleave(self.block, 1)
            opened = torch.cat([opened, torch.ones_like(rest, dtype=torch.bool)], 1)[:, None, None]
            beyond = (asking - slots.unsqueeze(2) >= window) & opened
            within = (asking - near < window).expand(b, 1, -1, -1)
        return (
            Read(
                slots.expand(-1, g, -1),
                positions=slots.new_zeros(1, 1, 1),
                places=torch.full_like(view.places, self.local),
                allow=beyond,
            ),
            Read(near.expand(b, g, -1), view.positions[:, None, -len(near) :], allow=within),
        )

    def _always(self, past: int) -> tuple[int, int]:
        """How many last slots each query reads, and how many blocks of first ones."""
        room = past * self.edge / (self.sinks + self.local)
        most = math.ceil(self.sinks / self.block)
        return (
            1 + min(self.local - 1, int(room * self.local)),
            min(most, max(1, int(room * self.sinks) // self.block)),
        )

    def _blocks(self, view: KVView, far: int) -> Float[Tensor, "b g n e"]:
        """What stands for each of the first `far` blocks: the mean of its foremost keys."""
        memory, past = view.memory, view.seen - view.queries.shape[2]
        (b, g, s, e), size = view.keys.shape, self.block
        mass = memory.get("mass", view.keys.new_zeros(b, g, 0, dtype=torch.float32))
        mass = pad(mass[..., :past], (0, s - past))
        start = max(0, past - self.local + 1)
        keys = rotate(view.keys[:, :, start:], view.positions[:, None, start:], view.inv_freq)
        queries = rotate(view.queries, view.places.unsqueeze(1), view.inv_freq)
        valid = None if view.valid is None else view.valid[:, :, start:]
        mass[..., start:] += window_mass(queries, keys, view.scale, self.local, valid)
        memory["mass"] = mass
        held: Tensor = memory.get("blocks", view.keys.new_zeros(b, g, 0, e, dtype=torch.float32))
        held = held[:, :, : past // size]
        n = held.shape[2]
        if n < far:
            new = slice(n * size, far * size)
            valid = None if view.valid is None else view.valid[:, :, new]
            found = foremost_mean(view.keys[:, :, new], mass[:, :, new], size, self.members, valid)
            held = torch.cat([held, found], 2)
        memory["blocks"] = held
        return held[:, :, :far]

    def _probe(self, view: KVView) -> Float[Tensor, "b h e"]:
        """The mean query of the chunk, each weighted by how much it stands out."""
        (b, h, t, _), memory = view.queries.shape, view.memory
        place = torch.full((t,), self.local, device=view.keys.device)
        rows = rotate(view.queries, place, view.inv_freq).float().transpose(1, 2).flatten(2)
        real = rows.new_ones(b, t).bool() if view.valid is None else view.valid[:, 0, -t:]
        mean, variance = (memory.get(name, torch.zeros_like(rows[:, 0])) for name in _MOMENTS)
        chunks = memory.get("chunks", rows.new_zeros(b))
        weight = deviation(rows, mean, variance) * real
        weight = weight * (chunks >= self.warmup).unsqueeze(1)
        weight = torch.where(weight.any(1, keepdim=True), weight, real.float())
        weight = weight / weight.sum(1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)
        new = update_moments(mean, variance, chunks, rows, real)
        memory.update(zip((*_MOMENTS, "chunks"), new, strict=True))
        return (weight.unsqueeze(1) @ rows).view(b, h, -1)

    def _fetch(
        self, view: KVView, score: Float[Tensor, "b n"], sinks: int, mean: float
    ) -> tuple[Int[Tensor, "b k"], Bool[Tensor, "b k"]]:
        """Which blocks are read, rising, and for which rows of the batch."""
        filled = torch.ones_like(score, dtype=torch.bool)
        if view.valid is not None:
            within = view.valid[:, 0, : score.shape[1] * self.block]
            filled = within.reshape(len(score), -1, self.block).any(-1)
        first = filled & (filled.cumsum(-1) <= sinks)
        free = filled & ~first
        wanted = first.sum(-1) + self._granted(view, score, free, mean)
        ranked = score.masked_fill(~free, float("-inf")).masked_fill(first, float("inf"))
        chosen = ranked.topk(int(wanted.max())).indices
        granted = torch.arange(chosen.shape[1], device=score.device) < wanted.unsqueeze(1)
        chosen, order = chosen.sort(-1)
        return chosen, granted.gather(-1, order)

    def _granted(
        self, view: KVView, score: Float[Tensor, "b n"], free: Bool[Tensor, "b n"], mean: float
    ) -> Int[Tensor, " b"]:
        """How many of the free blocks this layer may read; flat scores get more."""
        flat, (layer, depth) = self._flatness(view, score, free), (view.layer, view.depth)
        name, shared = f"left of {view.seen}", view.shared
        left = shared.pop(name) if layer else torch.full_like(flat[:, 0], round(mean * depth))
        part = flat[:, layer] / flat[:, layer:].sum(-1).clamp(min=1e-6)
        known = ~flat.isnan().any() & (view.queries.shape[2] == 1)  # no branch: it would wait
        part = part.where(known, 1 / (depth - layer))
        count = free.sum(-1).to(left.dtype)
        low, high = (
            torch.full_like(count, x) for x in (mean * _FEWEST // 1, -(-mean * _MOST // 1))
        )
        taken = (left * part).round().clamp(count.minimum(low), count.minimum(high))
        shared |= {name: left - taken} if layer < depth - 1 else {}
        return taken.long()

    def _flatness(
        self, view: KVView, score: Float[Tensor, "b n"], free: Bool[Tensor, "b n"]
    ) -> Float[Tensor, "b l"]:
        """Mean entropy of each layer's scores, in [0, 1]; NaN where too few were seen."""
        entropy = evenness(score * self.sharpness, free).unsqueeze(1)
        past = torch.cat([view.memory.get("entropy", entropy[:, :0]), entropy], 1)
        view.memory["entropy"] = past = past[:, -self.history :]
        empty = score.new_full((len(score), view.depth), float("nan"))
        flat: Tensor = view.shared.get("flatness", empty).clone()
        if past.shape[1] == self.history:
            flat[:, view.layer] = past.mean(1)
        view.shared["flatness"] = flat
        return flat


_MOMENTS = ("mean", "variance")
_FEWEST, _MOST = 32 / 46, 2.0  # of the mean number of blocks, as released
