"""Lexical copy: tokens that both vocabularies have keep their row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from tokenry.card import Card
from tokenry.method import EmbeddingRows, Move, VocabMap
from tokenry.method.blends import blended, shared


@final
@dataclass(frozen=True, kw_only=True)
class LexicalCopy(VocabMap):
    """A token that spells what an old one spells gets its row; the others are drawn at random."""

    card: ClassVar[Card] = Card(
        slug="lexical-copy",
        name="Lexical copy",
        title="Copies the rows of tokens that both vocabularies have",
        summary="Baseline: tokens of both vocabularies keep their row, the others are random.",
        family="vocab",
        have="a model and a tokenizer for it that shares tokens with the old one",
        want="to know what a move loses that invents nothing",
        dial="none",
    )

    def rows(self, move: Move) -> EmbeddingRows:
        """Copies where there is one to copy, else rows drawn with the seed of the move."""
        known = shared(move.source, move.target)
        return blended(
            move,
            [[(known[token], 1.0)] if token in known else () for token in range(len(move.target))],
        )
