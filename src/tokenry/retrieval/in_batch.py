"""The plain way to tune an encoder on pairs: each is told from the others of its batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

from tokenry.card import Card
from tokenry.method import Batch, In, Losses, PairObjective
from tokenry.ops.contrastive import in_batch


@final
@dataclass(frozen=True, kw_only=True)
class InBatch(PairObjective):
    """Cross-entropy, or a hinge, over the cosines of each left text with all right texts.

    Args:
        temperature: Divides the cosines before the softmax.
        against: What a vector is told from: the rights of other pairs ("right"), for rights the
            lefts as well ("both"), or both sides of all other pairs at once ("views").
        form: Cross-entropy or hinge.
        margin: Of the hinge.

    Raises:
        UsageError: If a setting is out of range.
    """

    card: ClassVar[Card] = Card(
        slug="in-batch",
        name="In-batch pairs",
        title="Contrastive loss over the pairs of a batch",
        summary="Tunes an encoder so that the two texts of a pair are closer to each other than to "
        "the other texts of the batch.",
        family="retrieval",
        have="pairs of texts that belong together, and an encoder",
        want="an encoder that finds the one from the other",
        dial="none: it trains an encoder",
        needs="training",
    )

    temperature: Annotated[float, In(0.001, 10), "what divides the cosines"] = 0.05
    against: Annotated[Literal["right", "both", "views"], "what a vector is told from"] = "right"
    form: Annotated[Literal["softmax", "hinge"], "cross-entropy or hinge"] = "softmax"
    margin: Annotated[float, In(0, 2), "by how much a pair shall lead, for the hinge"] = 0.2

    def loss(self, batch: Batch) -> Losses:
        """The mean over the pairs."""
        return Losses(
            total=in_batch(
                batch.vectors["left"],
                batch.vectors["right"],
                temperature=self.temperature,
                against=self.against,
                form=self.form,
                margin=self.margin,
                groups=batch.groups,
            )
        )
