"""The reference of late interaction: each query token finds its best document token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from jaxtyping import Float
from torch import Tensor

from tokenry.card import Card
from tokenry.method import LateScorer
from tokenry.ops.late import maxsim, mean_maxsim
from tokenry.ops.ragged import Ragged


@final
@dataclass(frozen=True, kw_only=True)
class MaxSim(LateScorer):
    """Sum over query tokens of the greatest dot product with a token of the document.

    Args:
        mean: Whether the sum is divided by the number of query tokens.

    Raises:
        UsageError: If a setting is out of range.
    """

    card: ClassVar[Card] = Card(
        slug="maxsim",
        name="MaxSim",
        title="ColBERT's late interaction: the best document token of each query token, summed",
        summary="What every faster or smaller way of scoring tokens is measured against.",
        family="retrieval",
        have="token vectors of queries and documents",
        want="the most exact ranking that the vectors allow",
        dial="none: every token of every document is compared",
    )

    mean: Annotated[bool, "whether the sum is divided by the number of query tokens"] = False

    def score(self, q: Ragged, d: Ragged) -> Float[Tensor, "q d"]:
        """The scores, some thousand document tokens at a time."""
        return mean_maxsim(q, d) if self.mean else maxsim(q, d)
