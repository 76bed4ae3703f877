"""Online contrastive loss: of labelled pairs, those that are not yet in order count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from tokenry.card import Card
from tokenry.errors import UsageError
from tokenry.method import Batch, In, Losses, PairObjective
from tokenry.ops.contrastive import pairwise


@final
@dataclass(frozen=True, kw_only=True)
class OnlineContrastive(PairObjective):
    r"""True pairs that lie farther apart than the closest false one, and the other way round.

    With $\delta = 1 - \cos$: the sum of $\delta^2$ over true pairs with
    $\delta > \min \delta_{false}$ and of $\max(0, m - \delta)^2$ over false pairs with
    $\delta < \max \delta_{true}$. Without pairs of the other kind, those count that are farther
    apart, or closer, than the mean of their own.

    Args:
        margin: The distance that false pairs shall have ($m$).
        released: Take the mean of their own also where there is a single pair of the other kind,
            as LinkTransformer's code does.

    Raises:
        UsageError: If a setting is out of range.

    Source: Hadsell et al. 2006, equation 4, with the choice of hard pairs of Sentence Transformers.
    """

    card: ClassVar[Card] = Card(
        slug="online-contrastive",
        name="Online contrastive",
        title="Contrastive loss over the hard pairs of a batch",
        summary="Tunes an encoder on pairs that are labelled as the same or not, looking only at "
        "those that it still confuses.",
        family="linking",
        have="pairs of names, labelled as the same or not, and an encoder",
        want="an encoder whose cosine tells the ones from the others",
        dial="none: it trains an encoder",
        needs="training",
        differs=(
            "A single pair of the other kind says which are hard; LinkTransformer's code asks for "
            "two (`released=True`).",
        ),
    )
    labelled: ClassVar[bool] = True

    margin: Annotated[float, In(0, 2), "the distance that false pairs shall have"] = 0.5
    released: Annotated[bool, "whether a single pair says nothing of those of the other kind"] = (
        False
    )

    def loss(self, batch: Batch) -> Losses:
        """The sum over hard pairs."""
        if "same" not in batch.labels:
            raise UsageError("OnlineContrastive: needs the label of each pair; pass labels.")
        return Losses(
            total=pairwise(
                batch.vectors["left"],
                batch.vectors["right"],
                batch.labels["same"].bool(),
                margin=self.margin,
                hard_only=True,
                fewest=2 if self.released else 1,
            )
        )
