"""Baseline: index random tokens of each document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tokenry.card import Card
from tokenry.method import In, IndexReducer, TokensView
from tokenry.ops.grouping import kept_rows


@final
@dataclass(frozen=True, kw_only=True)
class RandomTokens(IndexReducer):
    """Index tokens that a seed chooses, different ones in each document.

    Args:
        keep: Share of the document's tokens that is indexed.
        seed: Seed of the choice.

    Raises:
        UsageError: If a setting is out of range.

    >>> RandomTokens(keep=0.5).card.is_baseline
    True
    """

    card: ClassVar[Card] = Card(
        slug="random-tokens",
        name="Random tokens",
        title="Index random tokens of each document",
        summary="What a clever choice of tokens for an index has to beat.",
        family="retrieval",
        have="an index of token vectors",
        want="a floor for any method that leaves tokens out",
        dial="keep is the share of the tokens that stays",
    )

    seed: Annotated[int, In(0, 2**31), "the seed of the choice"] = 0

    def group(self, x: Float[Tensor, "n d"], view: TokensView) -> Int[Tensor, " n"]:
        """Keep `view.count` random tokens, each a group of its own."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + view.document)
        chosen = torch.randperm(len(x), generator=generator)[: view.count]
        return kept_rows(chosen.to(x.device), len(x))
