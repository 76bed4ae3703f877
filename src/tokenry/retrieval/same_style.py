"""Same-style products: images, texts and both together in one space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tokenry.card import Card, Claim
from tokenry.method import Batch, In, Losses, Objective
from tokenry.ops.contrastive import hinge_loss
from tokenry.ops.similarity import unit

PAIRS = (
    ("image", "image"),
    ("text", "text"),
    ("joint", "joint"),
    ("image", "joint"),
    ("text", "joint"),
    ("image", "text"),
)
"""Which view of one product is compared with which view of the other."""
CROSSED = tuple(pair for pair in PAIRS if pair[0] != pair[1])


@final
@dataclass(frozen=True, kw_only=True)
class SameStyle(Objective):
    r"""Two suppliers' entries of one product are nearest in every view, and the views agree.

    Row $r$ of a batch is a product, as one supplier shows it ($a_r$) and as another does ($b_r$),
    each as image, text and joint vector: the views `a.image`, `b.image`, `a.text` and so on. With
    $S_{rc}$ the cosine of $a_r$ in one view and $b_c$ in another:

    - matching, for each pair of views: the mean over $c \ne r$ of
      $\max(0, S_{rc} - S_{rr} + m)$;
    - distinctness, of the same products in two views: the same with $a'_c$ for $b_c$;
    - consistency, with $S$ of the joint view of $a$ and $S'$ of another view of it: over the
      `nearest` columns of each row of $S$, the mean of $\max(0, (S_{rc} - S'_{rc})^2 - m')$.

    Rows of one group are the same product, and no negatives of each other.

    Args:
        margin: Of matching and distinctness.
        slack: By how much views may differ (the margin of consistency).
        nearest: Columns on which views shall agree (paper: 10).
        match: Weight of matching.
        distinct: Weight of distinctness.
        consistent: Weight of consistency.
        released: Count the product itself among the columns that the mean is over, as the released
            code does, so that the losses depend on the size of the batch.

    Raises:
        UsageError: If a setting is out of range.

    Source: Chen et al. 2023, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="same-style",
        name="Same-style",
        title="Unified Vision-Language Representation Modeling for E-Commerce Same-Style Products "
        "Retrieval",
        summary="Trains encoders of images, texts and both so that the same product of another "
        "supplier is nearest, whichever of the three one has.",
        family="retrieval",
        have="products with pictures and texts, and pairs that are the same",
        want="one index that images, texts and both together search",
        dial="none: it trains encoders",
        needs="training",
        year=2023,
        arxiv="2302.05093",
        venue="WWW 2023, industry track",
        code="https://github.com/benchen4395/esspr_alibaba.com",
        code_license="not stated",
        claims=(
            Claim(
                paper="Recall at 1 is .887 with image and text, .878 with images and .560 with "
                "texts alone.",
                effect="Drawings of another vendor with another text are found more often by both "
                "together than by the better of the two.",
                not_shown="Both together .735, texts .750, drawings .420, of 200 unseen emoji "
                "(recipes/same_style_emoji.py). Unlike products' titles, names and keywords of "
                "emoji say nearly all, and a small network from scratch on 400 drawings little.",
            ),
            Claim(
                paper="Views agree on neighbours with the consistency loss.",
                effect="Without it the views differ more on the nearest ten.",
                test="tests/retrieval/test_trained_claims.py::test_claim_consistent_views_agree",
                measured="Mean squared difference of cosines .013 with it and .029 without, 200 "
                "unseen emoji of two vendors, 150 steps.",
            ),
            Claim(
                paper="Distinctness ties the views of one product together.",
                effect="Without it a text finds its own picture less often.",
                not_shown="With it .040, without .045 of 200 unseen drawings, five times chance "
                "but not distinguishable (recipes/same_style_emoji.py): 400 concepts teach a "
                "network from scratch too little of what words look like.",
            ),
            Claim(
                paper="An image with other words finds another style.",
                effect="A drawing with another colour's name finds the drawing in that colour more "
                "often than the drawing alone does.",
                test="tests/retrieval/test_trained_claims.py::test_claim_words_change_the_style",
                measured="The right colour comes first of 600 for .333 of 24 changes, .042 without "
                "the words; without the picture for all, as a whole name is given. With the bare "
                "name of the colour the mean reciprocal rank is .423, by the picture alone .173, "
                "by the colour alone .368.",
            ),
        ),
        differs=(
            "Which pairs of views the losses run over, their weights and margins are not in the "
            "released code; all pairs, weights of 1 and margins of 0.2 and 0 are ours.",
            "Means are over negatives; in the released code also over the product itself "
            "(`released=True`).",
            "The nearest columns are at most as many as there are rows; the released code takes "
            "10 and fails below.",
            "Rows of one product are masked. How pairs are mined from clicks is not part of it.",
        ),
    )

    margin: Annotated[float, In(0, 2), "by how much a product's own vector shall lead"] = 0.2
    slack: Annotated[float, In(0, 4), "by how much views may differ"] = 0.0
    nearest: Annotated[int, In(1, 10_000), "the columns on which views shall agree"] = 10
    match: Annotated[float, In(0, 100), "the weight of matching"] = 1.0
    distinct: Annotated[float, In(0, 100), "the weight of distinctness"] = 1.0
    consistent: Annotated[float, In(0, 100), "the weight of consistency"] = 1.0
    released: Annotated[bool, "whether means count the product itself"] = False

    def loss(self, batch: Batch) -> Losses:
        """The weighted sum, each loss the mean over its pairs of views."""
        x = {name: unit(vectors) for name, vectors in batch.vectors.items()}
        groups = batch.groups
        same = None if groups is None else groups[:, None] == groups
        joint = x["a.joint"] @ x["b.joint"].mT
        matches = [self.hinge(x[f"a.{one}"] @ x[f"b.{two}"].mT, same) for one, two in PAIRS]
        distinct = [self.hinge(x[f"a.{one}"] @ x[f"a.{two}"].mT, same) for one, two in CROSSED]
        consistent = [
            self.agree(joint, x[f"a.{one}"] @ x["b.joint"].mT) for one in ("image", "text")
        ]
        parts = {
            "match": torch.stack(matches).mean(),
            "distinct": torch.stack(distinct).mean(),
            "consistent": torch.stack(consistent).mean(),
        }
        weights = {"match": self.match, "distinct": self.distinct, "consistent": self.consistent}
        total = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
        return Losses(total=total, parts=parts)

    def hinge(
        self, scores: Float[Tensor, "b b"], same: Bool[Tensor, "b b"] | None = None
    ) -> Float[Tensor, ""]:
        """Matching, or distinctness: each row's own column leads by the margin."""
        loss = hinge_loss(scores, self.margin, left_out=same)
        if self.released:
            own = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
            out = (own if same is None else own | same).sum(1)
            loss = loss * (len(scores) - out) / len(scores)
        return loss.mean()

    def agree(
        self, scores: Float[Tensor, "b c"], others: Float[Tensor, "b c"]
    ) -> Float[Tensor, ""]:
        """Consistency: another view is as near to the nearest of the first."""
        near = scores.detach().topk(min(self.nearest, scores.shape[1]), 1).indices
        gap = scores.gather(1, near) - others.gather(1, near)
        return (gap.square() - self.slack).clamp(min=0).mean()
