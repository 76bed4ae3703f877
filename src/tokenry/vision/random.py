"""Baseline: drop tokens at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from tokenry.card import Card
from tokenry.method import In, LayerView, Schedule, TokenReducer
from tokenry.ops.plan import Plan


@final
@dataclass(frozen=True, kw_only=True)
class Random(TokenReducer):
    """Drop as many tokens as a merger would merge, in the same layers, chosen by a seed.

    All images of a batch lose the same positions, so the batch does not change the result.

    Args:
        keep: Share of tokens that is really processed, averaged over the layers.
        schedule: How the removal is spread over the layers.
        seed: Seed of the choice.

    Raises:
        UsageError: If a setting is out of range.

    >>> Random(keep=0.5).card.is_baseline
    True
    """

    card: ClassVar[Card] = Card(
        slug="random",
        name="Random",
        title="Drop random tokens in every layer",
        summary="What a clever choice has to beat.",
        family="vision",
        have="a trained vision transformer",
        want="a floor for any method that chooses tokens",
        dial="keep sets the number dropped per layer",
    )

    schedule: Schedule = "constant"
    seed: Annotated[int, In(0, 2**31), "the seed of the choice"] = 0

    @property
    def spread(self) -> Schedule:
        """The schedule over all layers."""
        return self.schedule

    def reduce(self, x: Float[Tensor, "b n d"], view: LayerView) -> Plan:
        """Keep the protected rows and random others, `view.count` in all."""
        p, n = view.protected, x.shape[1]
        generator = torch.Generator().manual_seed(self.seed * 1000 + view.layer)
        chosen = torch.randperm(n - p, generator=generator)[: view.count - p].sort().values + p
        keep = torch.cat([torch.arange(p), chosen]).to(x.device)
        return Plan(keep.expand(x.shape[0], -1))
