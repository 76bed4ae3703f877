"""Supervised contrastive loss: all texts of one thing belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from tokenry.card import Card
from tokenry.errors import UsageError
from tokenry.method import Batch, In, Losses, PairObjective
from tokenry.ops.contrastive import supervised


@final
@dataclass(frozen=True, kw_only=True)
class SupCon(PairObjective):
    r"""Each text of a batch is drawn to all others of its group, and told from the rest.

    The mean over texts $i$ with a mate $P_i$ in the batch of
    $-\frac{1}{|P_i|} \sum_{p \in P_i} \ln e^{s_{ip} / \tau} / \sum_{a \ne i} e^{s_{ia} / \tau}$,
    where $s$ is the cosine. A text without a mate is told from the others by them and has no term
    of its own.

    Args:
        temperature: Divides the cosines ($\tau$).

    Raises:
        UsageError: If a setting is out of range.

    Source: Khosla et al. 2020 (arXiv 2004.11362), equation 2.
    """

    card: ClassVar[Card] = Card(
        slug="supcon",
        name="SupCon",
        title="Supervised contrastive loss over the texts of a batch",
        summary="Tunes an encoder so that all names of one thing are close to each other and far "
        "from those of others.",
        family="linking",
        have="names in groups that mean the same, or pairs of them, and an encoder",
        want="an encoder that links the names of things it has not seen",
        dial="none: it trains an encoder",
        needs="training",
        differs=(
            "A text that is alone of its group in a batch has no term; in the code that comes with "
            "LinkTransformer its term is 0 / 0, and training ends.",
        ),
    )
    alone: ClassVar[bool] = True

    temperature: Annotated[float, In(0.001, 10), "what divides the cosines"] = 0.07

    def loss(self, batch: Batch) -> Losses:
        """The mean over texts that have a mate."""
        if batch.groups is None:
            raise UsageError("SupCon: needs the group of each text; pass groups.")
        return Losses(
            total=supervised(batch.vectors["left"], batch.groups, temperature=self.temperature)
        )
