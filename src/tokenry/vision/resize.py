"""Baseline: show the model a smaller image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

from jaxtyping import Float
from torch import Tensor

from tokenry.card import Card
from tokenry.errors import UsageError
from tokenry.method import LayerView, TokenReducer
from tokenry.ops.plan import Plan


@final
@dataclass(frozen=True, kw_only=True)
class Resize(TokenReducer):
    """Resize the image, bicubic with antialiasing, to a grid of fewer patches.

    Args:
        keep: Share of patches that is left, as near as a whole grid of this shape comes to it.

    Raises:
        UsageError: If a setting is out of range.

    >>> Resize(keep=0.25).input_grid((16, 16))
    (8, 8)
    """

    card: ClassVar[Card] = Card(
        slug="resize",
        name="Smaller image",
        title="Resize the image to fewer patches",
        summary="The oldest way to save tokens, and hard to beat on simple pictures.",
        family="vision",
        have="a vision transformer that interpolates its positions",
        want="fewer tokens with no method at all",
        dial="keep is the share of the image's area",
    )
    expected_failures: ClassVar = {
        "count": "a whole grid of the image's shape is seldom exactly the share asked for",
        "origins": "a patch of the smaller image shows several old ones, but no row was merged",
        "padding": "a mask of patches does not fit the smaller image, and is refused",
    }

    place: ClassVar[Literal["before", "middle"]] = "before"

    def layers(self, depth: int) -> tuple[int, ...]:
        """None: the encoder sees fewer patches from the start."""
        return ()

    def input_grid(self, grid: tuple[int, int]) -> tuple[int, int]:
        """The grid of the same shape whose area is nearest to the share asked for."""
        side = self.keep**0.5
        rows = max(1, round(grid[0] * side))
        return rows, min(max(1, round(self.keep * grid[0] * grid[1] / rows)), grid[1])

    def reduce(self, x: Float[Tensor, "b n d"], view: LayerView) -> Plan:
        """Never called: there is nothing left to remove."""
        raise UsageError("Resize: works on the image, not on rows of tokens.")
