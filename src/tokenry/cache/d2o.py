"""D2O: layers get slots by how even their attention is; what goes merges into what it is like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import CachePolicy, In, KVView, Slots
from tokenry.ops.attention import by_key_head
from tokenry.ops.budget import shares
from tokenry.ops.match import best_match
from tokenry.ops.similarity import unit
from tokenry.ops.slots import take_slots, top_slots

_ROWS = 1024  # evicted keys that are compared with the kept ones at once
_LEAST = 0.01  # of its tokens, what a layer holds at the least


@final
@dataclass(frozen=True, kw_only=True)
class D2O(CachePolicy):
    r"""Keep heavy hitters and recent tokens, and merge others into the kept key nearest to them.

    Layer $\ell$ keeps a share proportional to $e^{-f_\ell}$, where $f_\ell$ is the variance of
    the attention mass over the slots. An evicted key $k_e$ whose largest cosine
    $u_e = \max_c \cos(k_e, k_c)$ reaches the threshold $\tau$ goes into that slot,

    $k_c \leftarrow \frac{e\,k_c + \sum_e e^{u_e} k_e}{e + \sum_e e^{u_e}}$ (softmax) or
    $k_c \leftarrow \frac{k_c + \sum_e u_e k_e}{1 + \sum_e 1}$ (mean),

    values likewise, and $\tau \leftarrow (1-\beta)\,\tau + \beta\,\overline{u}$.

    Args:
        keep: Share of the full cache's slots that is held, over all layers.
        merge: How evicted tokens go into kept ones; "softmax" as in the paper, "mean" as in the
            released code, "off" for plain eviction.
        budgets: Whether layers with even attention get more, or all the same.
        recent: Share of a layer's slots that goes to the last tokens.
        sinks: How many of the first tokens stay.
        beta: Weight of the new similarities in the threshold.
        early: So many layers at the front stay complete.
        late: So many layers at the end stay complete.
        sized: Whether a slot counts in the softmax as many tokens as went into it.

    Raises:
        UsageError: If a setting is out of range, or `keep` is below what the complete layers take.

    >>> D2O(keep=0.4, merge="mean").describe()
    "D2O(merge='mean', keep=0.4)"

    Source: Wan et al. 2025, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="d2o",
        name="D2O",
        title="D2O: Dynamic Discriminative Operations for Efficient Long-Context Inference of "
        "Large Language Models",
        summary="Gives layers with even attention more slots, and merges what goes into what it "
        "is like.",
        family="cache",
        have="a long text of which little may be lost altogether",
        want="heavy hitters with a memory of the rest",
        dial="keep is the share over all layers, the complete ones included (paper: the ratio of "
        "the others, before they are clamped)",
        year=2024,
        arxiv="2406.13035",
        venue="ICLR 2025",
        code="https://github.com/AIoT-MLSys-Lab/D2O",
        code_license="Apache-2.0",
        claims=(
            Claim(
                paper="At equal slots, better long texts than policies that only evict.",
                effect="Closer to the full cache with merging than without.",
                not_shown="Merging is farther. Divergence of the next token from the full cache's "
                "at keep=0.2 after 512 tokens: 0.420 with merge='softmax', 0.484 with 'mean', "
                "0.306 with softmax and sized, 0.294 with 'off'; at keep=0.5 0.108 and 0.082 with "
                "'off' (SmolLM2-135M, 8 topics of Python's language reference; H2O 0.192 and "
                "0.071). Averaging keys is what costs: 0.412 when only keys are merged, 0.312 "
                "when only values are. A small model that finds pass keys: level, 3.40 and 3.41.",
            ),
            Claim(
                paper="Layers with even attention need more slots than others.",
                effect="Closer to the full cache with these budgets than with uniform ones.",
                test="tests/cache/test_d2o.py::test_claim_even_layers_get_more_and_it_pays",
                measured="A divergence of 3.41 against 3.82 at keep=0.2, and 1.41 against 1.56 at "
                "0.5, without merging (three layers that find pass keys in 120 tokens, 200 "
                "texts). On SmolLM2-135M level: 0.294 and 0.296 at keep=0.2; the layers that stay "
                "complete cost more than either saves, and with early=0 and late=0 it is 0.195.",
            ),
            Claim(
                paper="Over three times the throughput of the full cache.",
                effect="Three times as many tokens per second with a cut cache.",
                not_shown="One text at a time on a CPU: 1.8 times at 8,192 tokens with keep=0.25, "
                "1.2 times at 4,096 (SmolLM2-135M, bench/cache.py). Larger batches, for which "
                "the memory that is saved leaves room, were not measured.",
            ),
        ),
        differs=(
            "keep holds over all layers: the shares of the others are scaled until the mean, the "
            "complete layers and the clamps included, is keep. Released, the mean is another.",
            "The variance is scaled to between 0 and 1 over the heads of a layer, as released; "
            "raw variances grow with the text, and one layer would get everything.",
            "An evicted token is merged or dropped for each key head on its own. merge='mean' "
            "decides as released, where the n-th evicted tokens of all heads share one decision.",
            "The cache is cut at the end of the prompt, not at the first token after it, and its "
            "budget grows with the text; the released one is fixed.",
            "With shared key heads the query heads of a group add up; released, keys are copied "
            "for each query head and nothing is saved there.",
            "The threshold starts anew with each cache; released, it outlives the prompt.",
        ),
    )

    merge: Annotated[Literal["softmax", "mean", "off"], "how evicted tokens go into kept ones"] = (
        "softmax"
    )
    budgets: Annotated[
        Literal["variance", "uniform"], "whether layers with even attention get more"
    ] = "variance"
    recent: Annotated[float, In(0, 1), "the share of a layer's slots for the last tokens"] = 0.5
    sinks: Annotated[int, In(0, 1_000_000), "how many of the first tokens stay"] = 4
    beta: Annotated[float, In(0, 1), "the weight of new similarities in the threshold"] = 0.5
    early: Annotated[int, In(0, 1000), "how many layers at the front stay complete"] = 2
    late: Annotated[int, In(0, 1000), "how many layers at the end stay complete"] = 1
    sized: Annotated[bool, "whether a slot counts as many tokens as went into it"] = False

    weighs: ClassVar[bool] = True

    @property
    def least(self) -> int:
        """The sinks, a heavy hitter and a recent token."""
        return self.sinks + 2

    def shares(self, views: Sequence[KVView]) -> Sequence[float]:
        """The share of each layer, settled when the cache is cut for the first time."""
        if "share" not in views[0].memory:
            for view, share in zip(views, self._settle(views), strict=True):
                view.memory["share"] = share
        return [view.memory["share"] for view in views]

    def check(self, depth: int) -> None:
        """Refuse a depth at which the complete layers leave too little for the others."""
        self._room(depth, _LEAST)

    def _settle(self, views: Sequence[KVView]) -> list[float]:
        low = min(1.0, max(_LEAST, self.least / views[0].seen))
        free, total = self._room(len(views), low)
        weight = [1.0 if self.budgets == "uniform" else math.exp(-_spread(views[i])) for i in free]
        return [*[1.0] * self.early, *shares(weight, total, low), *[1.0] * self.late]

    def _room(self, depth: int, low: float) -> tuple[range, float]:
        """The layers that do not stay complete, and the sum of their shares, each `low` or more."""
        free = range(self.early, max(self.early, depth - self.late))
        spared = depth - len(free)
        total = self.keep * depth - spared
        if total < low * len(free):
            lowest = math.ceil((spared + low * len(free)) / depth * 1000) / 1000
            raise UsageError(
                f"D2O: keep={self.keep} cannot be reached with {depth} layers, of which "
                f"{spared} stay complete; the lowest is {lowest}. Keep more, or lower early or "
                "late."
            )
        return free, total

    def evict(self, view: KVView) -> Slots:
        """Keep heavy hitters, sinks and recent tokens, and merge into them."""
        score = by_key_head(view.mass, view.keys.shape[1]).sum(2)
        last = min(round(view.count * self.recent), view.count - self.sinks)
        keep = top_slots(score, view.count, self.sinks, last, view.valid)
        if self.merge == "off":
            return Slots(keep)
        stays = torch.zeros_like(score, dtype=torch.bool).scatter_(-1, keep, True)
        gone = stays.int().argsort(dim=-1, stable=True)[..., : score.shape[-1] - view.count]
        cosine, target = _nearest(take_slots(view.keys, gone), take_slots(view.keys, keep))
        joins = self._join(cosine, gone, view)
        keys = self._merge(view.keys, keep, gone, cosine, target, joins)
        values = self._merge(view.values, keep, gone, cosine, target, joins)
        if not self.sized:
            return Slots(keep, keys, values)
        size = torch.ones_like(score) if view.size is None else view.size
        more = size.gather(-1, gone) * joins
        return Slots(keep, keys, values, size.gather(-1, keep).scatter_add(-1, target, more))

    def _join(
        self, cosine: Float[Tensor, "b g e"], gone: Int[Tensor, "b g e"], view: KVView
    ) -> Bool[Tensor, "b g e"]:
        """Which evicted slots are merged; moves the threshold, one for each text."""
        real = torch.ones_like(gone, dtype=torch.bool)
        if view.valid is not None:
            real = view.valid.gather(-1, gone)
        mean = (cosine * real).sum((1, 2)) / real.sum((1, 2))  # NaN where only padding went
        before = view.memory.get("threshold", torch.full_like(mean, math.nan))
        moved = (1 - self.beta) * before + self.beta * mean
        now = torch.where(before.isnan(), mean, torch.where(mean.isnan(), before, moved))
        view.memory["threshold"] = now
        alike = cosine if self.merge == "softmax" else cosine.mean(1, keepdim=True)
        return (alike >= now[:, None, None]) & real

    def _merge(
        self,
        x: Float[Tensor, "b g s e"],
        keep: Int[Tensor, "b g k"],
        gone: Int[Tensor, "b g r"],
        cosine: Float[Tensor, "b g r"],
        target: Int[Tensor, "b g r"],
        joins: Bool[Tensor, "b g r"],
    ) -> Float[Tensor, "b g k e"]:
        """The kept rows of `x` with the rows that join them."""
        kept, rest = (take_slots(x, index).to(cosine.dtype) for index in (keep, gone))
        paper = self.merge == "softmax"
        own = math.e if paper else 1.0
        share = cosine.exp() if paper else cosine
        count = (share if paper else torch.ones_like(share)) * joins
        count = torch.zeros_like(kept[..., 0]).scatter_add_(-1, target, count).unsqueeze(-1)
        part = rest * (share * joins).unsqueeze(-1)
        into = target.unsqueeze(-1).expand_as(part)
        merged = (own * kept).scatter_add_(2, into, part) / (own + count)
        return torch.where(count > 0, merged, kept).to(x.dtype)


def _spread(view: KVView) -> float:
    """Variance of the mass over the slots, scaled over the heads; its mean over them."""
    real = torch.ones_like(view.mass)
    if view.valid is not None:
        heads = view.mass.shape[1] // view.valid.shape[1]
        real = view.valid.repeat_interleave(heads, 1).to(real.dtype)
    n = real.sum(-1, keepdim=True)
    mean = (view.mass * real).sum(-1, keepdim=True) / n
    variance = (((view.mass - mean) * real).square().sum(-1, keepdim=True) / n).mean((0, 2))
    low, high = variance.min(), variance.max()
    return float(((variance - low) / (high - low + 1e-6)).mean())


def _nearest(
    gone: Float[Tensor, "b g r e"], kept: Float[Tensor, "b g k e"]
) -> tuple[Float[Tensor, "b g r"], Int[Tensor, "b g r"]]:
    """For each evicted key the largest cosine with a kept one, and which one that is."""
    rows, to = unit(gone).flatten(0, 1), unit(kept).flatten(0, 1)
    starts = range(0, rows.shape[1], _ROWS)
    found = [best_match(rows[:, start : start + _ROWS], to) for start in starts]
    cosine, target = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
    return cosine.view(gone.shape[:3]), target.view(gone.shape[:3])
