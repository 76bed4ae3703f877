"""Token pooling: tokens of a document that are alike become one vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from tokenry.card import Card, Claim
from tokenry.method import In, IndexReducer, TokensView
from tokenry.ops.grouping import first_merges


@final
@dataclass(frozen=True, kw_only=True)
class TokenPooling(IndexReducer):
    r"""Cluster the tokens of each document by Ward's method, and index the means.

    Distances are $1 - \cos$. The two clusters whose union costs least are merged until
    `keep` of the document's tokens are left.

    Args:
        keep: Share of the document's tokens that is indexed.
        protected: First tokens of a document that are never pooled, such as a class token.

    Raises:
        UsageError: If a setting is out of range.

    >>> TokenPooling(keep=0.5).describe()
    'TokenPooling(keep=0.5)'

    Source: Clavié, Chaffin and Adams 2024, section 2.
    """

    card: ClassVar[Card] = Card(
        slug="token-pooling",
        name="Token pooling",
        title="Reducing the Footprint of Multi-Vector Retrieval with Minimal Performance Impact "
        "via Token Pooling",
        summary="Makes one vector of a document's tokens that are alike; half of them can go.",
        family="retrieval",
        have="an index of token vectors that is too large",
        want="half the vectors or fewer, without training",
        dial="keep is one over the paper's pool factor",
        year=2024,
        arxiv="2409.14683",
        venue="arXiv",
        code="https://github.com/stanford-futuredata/ColBERT",
        code_license="MIT",
        claims=(
            Claim(
                paper="Half the vectors can go with virtually no loss (pool factor 2).",
                effect="At keep=0.5, nDCG@10 is that of all token vectors.",
                test="tests/retrieval/test_token_pooling.py::"
                "test_half_the_tokens_pooled_lose_nothing",
                measured="nDCG@10 +0.000 (-0.019 to +0.019) from .937 (59 manual pages by their "
                "descriptions, first 256 tokens, all-MiniLM-L6-v2); on Cranfield's 225 queries "
                "-0.003 (-0.008 to +0.003) from .400.",
            ),
            Claim(
                paper="Two thirds to three quarters can go with a loss below 5 %.",
                effect="At keep=0.25, more than 95 % of nDCG@10 is left, and more than when the "
                "first, the rarest or random tokens are kept instead.",
                test="tests/retrieval/test_token_pooling.py::"
                "test_a_quarter_pooled_keeps_95_percent_and_beats_dropping",
                measured="98.7 % is left (.925 of .937); the first tokens leave .850, the rarest "
                ".847, random ones .888 (the same pages).",
            ),
        ),
        differs=(
            "The number of clusters is the nearest to keep times the tokens, at least 1; the "
            "paper's is the tokens over the pool factor, plus 1.",
            "The first releases hand the square matrix of distances to the clustering, which takes "
            "its rows for points; here distances are distances, as in later ones.",
            "Means are brought to length one again, so that all scores stay cosines.",
            "With ties the released cut leaves fewer clusters than asked for; here the count is "
            "exact.",
        ),
    )

    protected: Annotated[int, In(0, 64), "first tokens that are never pooled"] = 0

    def group(self, x: Float[Tensor, "n d"], view: TokensView) -> Int[Tensor, " n"]:
        """Merge the most similar clusters until `view.count` are left."""
        fixed = min(self.protected, view.count - 1)
        rows = x[fixed:].float()
        near = (rows @ rows.T).cpu().numpy().astype(np.float64)
        apart = squareform(np.clip(1 - near, 0, 2), checks=False)
        merges = linkage(apart, method="ward")[: len(x) - view.count, :2].astype(np.int64)
        groups = first_merges(merges, len(rows)).to(x.device) + fixed
        return torch.cat([torch.arange(fixed, device=x.device), groups])
