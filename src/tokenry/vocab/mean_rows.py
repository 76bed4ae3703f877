"""Mean rows: every token starts as the average token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from tokenry.card import Card
from tokenry.method import EmbeddingRows, Embeddings, Move, Origin, VocabMap


@final
@dataclass(frozen=True, kw_only=True)
class MeanRows(VocabMap):
    """Every row is the mean of all old rows, so that no token is likelier than another."""

    card: ClassVar[Card] = Card(
        slug="mean-rows",
        name="Mean",
        title="Gives every token the mean of all old rows",
        summary="Baseline: every row is the mean of the old ones.",
        family="vocab",
        have="a model and a tokenizer for it",
        want="to know what a move loses that knows one thing only: the average row",
        dial="none",
    )

    def rows(self, move: Move) -> EmbeddingRows:
        """The mean, once per token."""
        n, given = len(move.target), move.embeddings

        def fill(table: Tensor) -> Tensor:
            mean = table[: len(move.source)].float().mean(0).to(table)
            return mean.expand(n, *mean.shape).clone()

        return EmbeddingRows(
            embeddings=Embeddings(
                input=fill(given.input),
                output=None if given.output is None else fill(given.output),
                bias=None if given.bias is None else fill(given.bias),
            ),
            origin=torch.full((n,), Origin.DRAWN),
            parents=[()] * n,
        )
