"""Token pruning: the first tokens of a document are indexed, or the rarest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tokenry.card import Card, Claim
from tokenry.method import IndexReducer, TokensView
from tokenry.ops.grouping import kept_rows


@final
@dataclass(frozen=True, kw_only=True)
class TokenPruning(IndexReducer):
    r"""Index the first tokens of a document, or those in the fewest documents.

    The rarest tokens are those of greatest $\log(N / N_t)$, with $N_t$ of $N$ documents holding
    the token; of equals the earlier one stays.

    Args:
        keep: Share of the document's tokens that is indexed.
        by: Which tokens stay: the `first` ones, or the `rare` ones.

    Raises:
        UsageError: If a setting is out of range.

    >>> TokenPruning(by="rare", keep=0.5).describe()
    "TokenPruning(by='rare', keep=0.5)"

    Source: Lassance et al. 2021, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="token-pruning",
        name="Token pruning",
        title="A Study on Token Pruning for ColBERT",
        summary="Indexes the first tokens of each document, or the rarest, and drops the others.",
        family="retrieval",
        have="an index of token vectors that is too large",
        want="fewer vectors by a rule that costs nothing",
        dial="keep is the share of the tokens that stays",
        year=2021,
        arxiv="2112.06540",
        venue="arXiv",
        claims=(
            Claim(
                paper="30 % of an index of MS MARCO passages can go without a significant drop.",
                effect="At keep=0.7, nDCG@10 changes by less than 0.03 by either rule.",
                test="tests/retrieval/test_token_pruning.py::"
                "test_dropping_thirty_percent_costs_little",
                measured="First tokens -0.012 (-0.050 to +0.019), rarest -0.002 (-0.021 to +0.017) "
                "from .937 (59 manual pages by their descriptions, first 256 tokens, "
                "all-MiniLM-L6-v2); random ones -0.007: at this share no rule is better.",
            ),
        ),
        differs=(
            "The share is of each document's own length; the paper keeps the same number of tokens "
            "of every passage.",
            "The encoder is not trained again for the pruned index.",
            "The paper's two rules that read attention weights and unused tokens are not here: an "
            "index does not see the encoder.",
        ),
    )

    by: Annotated[Literal["first", "rare"], "which tokens stay"] = "first"

    def group(self, x: Float[Tensor, "n d"], view: TokensView) -> Int[Tensor, " n"]:
        """Keep `view.count` tokens, each a group of its own."""
        if self.by == "first":
            return kept_rows(torch.arange(view.count, device=x.device), len(x))
        rarest = view.spread.sort(stable=True).indices[: view.count]
        return kept_rows(rarest, len(x))
