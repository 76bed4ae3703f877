"""A method in a package of its own: what a third party writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from tokenry.card import Card
from tokenry.method import LayerView, TokenReducer
from tokenry.ops.plan import Plan


@final
@dataclass(frozen=True, kw_only=True)
class Shortest(TokenReducer):
    """Drop the rows of least length.

    Args:
        keep: Share of tokens that is really processed, averaged over the layers.
        longest: Drop the longest instead.
    """

    card: ClassVar[Card] = Card(
        slug="acme-shortest",
        name="Shortest",
        title="Drop the shortest rows in every layer",
        summary="Drops tokens by the length of their hidden state.",
        family="vision",
        have="a trained vision transformer",
        want="an example of a method that lives elsewhere",
        dial="keep sets the number dropped per layer",
    )

    longest: Annotated[bool, "whether the longest go"] = False

    def reduce(self, x: Float[Tensor, "b n d"], view: LayerView) -> Plan:
        """Keep the protected rows and the longest others, `view.count` in all."""
        score = x.float().norm(dim=-1) * (-1 if self.longest else 1)
        if view.valid is not None:
            score = score.masked_fill(~view.valid, -torch.inf)
        score[:, : view.protected] = torch.inf
        return Plan(score.topk(view.count).indices.sort(-1).values)
