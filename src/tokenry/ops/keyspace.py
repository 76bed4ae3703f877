"""Tokens near the likeliest ones in key space, against the rest: are they right as often?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from tokenry.errors import UsageError


@dataclass(frozen=True, slots=True)
class Candidates:
    """Mid-ranked tokens of one kind.

    Attributes:
        count: How many there are.
        precision: The share of them whose answer is right; NaN when there are none.
        mean_rank: Their mean rank, from 1 on; NaN when there are none.
    """

    count: int
    precision: float
    mean_rank: float


@dataclass(frozen=True, slots=True)
class SpuriousCorrelation:
    """Whether likely tokens are likely because they are close to others.

    Attributes:
        main: Mid-ranked tokens in a cluster of a top-ranked one.
        other: Mid-ranked tokens in other clusters.
        share: The share of the former among both.
    """

    main: Candidates
    other: Candidates
    share: float

    @property
    def gap(self) -> float:
        """By how much the precision outside the main clusters is higher."""
        return self.other.precision - self.main.precision


def in_main_clusters(
    ranking: Sequence[int] | Int[Tensor, " n"], labels: Int[Tensor, " v"], top: int
) -> Bool[Tensor, " m"]:
    """Which tokens behind the first `top` share a cluster with one of those.

    Args:
        ranking: Tokens, the likeliest first.
        labels: The cluster of each token of the vocabulary.
        top: How many are top-ranked (paper: K).

    >>> in_main_clusters([4, 1, 0, 2, 3], torch.tensor([0, 1, 1, 0, 2]), top=2).tolist()
    [False, True, False]
    """
    clusters = labels[torch.as_tensor(ranking)]
    return torch.isin(clusters[top:], clusters[:top])


def spurious_correlation(
    main: Bool[Tensor, " m"], correct: Bool[Tensor, " m"], top: int
) -> SpuriousCorrelation:
    """Compare precision and mean rank inside and outside the main clusters.

    Args:
        main: Which mid-ranked tokens are in a main cluster, in the order of their ranks.
        correct: Whose answer is right.
        top: How many tokens rank before them.

    Raises:
        UsageError: If there are no mid-ranked tokens, or the lengths differ.
    """
    if not len(main) or len(main) != len(correct):
        raise UsageError(
            f"spurious_correlation: {len(main)} tokens and {len(correct)} judgements; give at "
            "least one token, and one judgement for each."
        )
    ranks = torch.arange(top + 1, top + 1 + len(main), dtype=torch.float64)

    def of(which: Bool[Tensor, " m"]) -> Candidates:
        right, places = correct[which].double().mean(), ranks[which].mean()
        return Candidates(int(which.sum()), float(right), float(places))

    return SpuriousCorrelation(of(main), of(~main), float(main.double().mean()))
