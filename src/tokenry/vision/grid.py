"""Baseline: keep every k-th patch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from tokenry.card import Card
from tokenry.method import LayerView, TokenReducer
from tokenry.ops.plan import Plan


@final
@dataclass(frozen=True, kw_only=True)
class Grid(TokenReducer):
    """Keep evenly spaced patches in raster order, once, before the first layer.

    Args:
        keep: Share of tokens that stays.

    Raises:
        UsageError: If a setting is out of range.

    >>> Grid(keep=0.5).layers(12)
    (0,)
    """

    card: ClassVar[Card] = Card(
        slug="grid",
        name="Every k-th",
        title="Keep every k-th patch before the first layer",
        summary="Plain subsampling, blind to the picture.",
        family="vision",
        have="a trained vision transformer",
        want="a floor that spreads what it keeps over the picture",
        dial="keep is the share of patches that stays",
    )

    place: ClassVar[Literal["before", "middle"]] = "before"

    def layers(self, depth: int) -> tuple[int, ...]:
        """Before the first layer only."""
        return (0,)

    def reduce(self, x: Float[Tensor, "b n d"], view: LayerView) -> Plan:
        """Keep the protected rows and evenly spaced others, `view.count` in all."""
        p, n, k = view.protected, x.shape[1], view.count - view.protected
        step = torch.arange(k, device=x.device) * (n - p) // k
        keep = torch.cat([torch.arange(p, device=x.device), step + p])
        return Plan(keep.expand(x.shape[0], -1))
