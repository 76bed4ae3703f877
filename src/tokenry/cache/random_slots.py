"""Baseline: keep random slots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch

from tokenry.card import Card
from tokenry.method import CachePolicy, In, KVView, Slots
from tokenry.ops.slots import top_slots


@final
@dataclass(frozen=True, kw_only=True)
class RandomSlots(CachePolicy):
    """Keep slots at random, another choice in each layer and head, and the last tokens.

    All texts of a batch keep the same places, so the batch does not change the result.

    Args:
        keep: Share of the full cache's slots that is held.
        recent: How many of the last tokens stay.
        seed: Seed of the choice.

    Raises:
        UsageError: If a setting is out of range.

    >>> RandomSlots(keep=0.5).card.is_baseline
    True
    """

    card: ClassVar[Card] = Card(
        slug="random-slots",
        name="Random slots",
        title="Keep random slots of the cache",
        summary="What a clever choice of cache slots has to beat.",
        family="cache",
        have="a causal language model",
        want="a floor for any policy that chooses slots",
        dial="keep sets the number of slots held",
    )

    recent: Annotated[int, In(0, 1_000_000), "how many of the last tokens stay"] = 32
    seed: Annotated[int, In(0, 2**31), "the seed of the choice"] = 0

    @property
    def least(self) -> int:
        """The recent tokens and one more."""
        return self.recent + 1

    def evict(self, view: KVView) -> Slots:
        """Keep `view.count` slots of random score."""
        generator = torch.Generator().manual_seed(self.seed * 1000 + view.layer)
        b, g, s = view.tokens.shape
        # Slot by slot, so that padding in front of a text does not change what it keeps.
        score = torch.rand(s, g, generator=generator).T.to(view.tokens.device).expand(b, -1, -1)
        if view.valid is not None:
            score = score.gather(-1, (view.valid.cumsum(-1) - 1).clamp(min=0))
        return Slots(top_slots(score, view.count, last=self.recent, valid=view.valid))
