"""Baseline: average neighbouring patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tokenry.card import Card
from tokenry.method import LayerView, TokenReducer
from tokenry.ops.match import merge_into
from tokenry.ops.plan import Plan


def windows(grid: tuple[int, int], k: int) -> Int[Tensor, " n"]:
    """The window of each patch, when the grid is cut into exactly `k` near-square windows.

    Bands of rows are cut into nearly equal numbers of windows, which differ by at most one.

    >>> windows((4, 4), 4).view(4, 4).tolist()
    [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    """
    rows, columns = grid
    bands = min(max(round((k * rows / columns) ** 0.5), -(-k // columns)), rows, k)
    band = torch.arange(rows) * bands // rows
    first = torch.arange(bands + 1) * k // bands
    wide = first.diff()[band]
    inside = torch.arange(columns)[None] * wide[:, None] // columns
    window: Tensor = first[band][:, None] + inside
    return window.flatten()


@final
@dataclass(frozen=True, kw_only=True)
class Pool(TokenReducer):
    """Average the patches of each window of the grid, once, before the first layer.

    Args:
        keep: Share of tokens that stays.

    Raises:
        UsageError: If a setting is out of range.

    >>> Pool(keep=0.25).layers(12)
    (0,)
    """

    card: ClassVar[Card] = Card(
        slug="pool",
        name="Average pooling",
        title="Average neighbouring patches before the first layer",
        summary="2x2 average pooling and its in-betweens; blind to the picture.",
        family="vision",
        have="a trained vision transformer",
        want="a floor for any method that merges tokens",
        dial="keep is the share of windows to patches; 0.25 is 2x2 pooling",
    )

    place: ClassVar[Literal["before", "middle"]] = "before"

    def layers(self, depth: int) -> tuple[int, ...]:
        """Before the first layer only."""
        return (0,)

    def reduce(self, x: Float[Tensor, "b n d"], view: LayerView) -> Plan:
        """Merge each window into its first patch."""
        b, p = x.shape[0], view.protected
        window = windows(view.grid, view.count - p)
        patches = torch.arange(len(window))
        first = torch.full_like(window, len(window))[: view.count - p]
        first = first.scatter_reduce(0, window, patches, "amin")[window]
        moves = (first != patches).nonzero().flatten()
        pairs = torch.stack([moves, first[moves]]).to(x.device) + p
        return merge_into(x.shape[1], *pairs.unsqueeze(1).expand(-1, b, -1))
