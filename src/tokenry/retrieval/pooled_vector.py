"""The baseline that late interaction has to beat: one vector per text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from tokenry.card import Card
from tokenry.method import LateScorer, Prepared
from tokenry.ops.ragged import Ragged, vectors
from tokenry.ops.similarity import unit


@final
@dataclass(frozen=True, kw_only=True)
class PooledVector(LateScorer):
    """Cosine of the means of the token vectors.

    Raises:
        UsageError: If a setting is out of range.
    """

    card: ClassVar[Card] = Card(
        slug="pooled-vector",
        name="Pooled vector",
        title="One vector per text: the mean of its token vectors",
        summary="A thousandth of the memory and the time, and the floor for scoring by tokens.",
        family="retrieval",
        have="token vectors of queries and documents",
        want="the cheapest ranking by meaning",
        dial="none: one vector stands for all tokens",
    )

    def score(self, q: Ragged, d: Ragged) -> Float[Tensor, "q d"]:
        """The cosines."""
        return self.prepared(d).score(q)

    def prepared(self, d: Ragged) -> Prepared:
        """The means of the documents, once."""
        means, empty = _means(d), d.lengths == 0
        return Prepared(
            lambda q: (_means(q) @ means.T).masked_fill(empty, -torch.inf), means.nbytes
        )


def _means(lists: Ragged) -> Float[Tensor, "b d"]:
    rows = vectors(lists)
    sums = rows.new_zeros(len(lists), rows.shape[1]).index_add(0, lists.owners, rows)
    return unit(sums)  # the length of a mean is not asked for
