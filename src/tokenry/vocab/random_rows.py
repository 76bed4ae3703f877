"""Random rows: what a new vocabulary costs when nothing of the old one is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from tokenry.card import Card
from tokenry.method import EmbeddingRows, Move, VocabMap
from tokenry.method.blends import blended


@final
@dataclass(frozen=True, kw_only=True)
class RandomRows(VocabMap):
    """Every row is drawn from the normal distribution with the moments of the old rows."""

    card: ClassVar[Card] = Card(
        slug="random-rows",
        name="Random",
        title="Draws every row at random, as widely spread as the old ones",
        summary="Baseline: every row is drawn at random.",
        family="vocab",
        have="a model and a tokenizer for it",
        want="to know what a move loses that uses nothing of the old vocabulary",
        dial="none",
    )

    def rows(self, move: Move) -> EmbeddingRows:
        """Rows drawn with the seed of the move."""
        return blended(move, [()] * len(move.target))
