"""Chunks of so many tokens, whatever they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import numpy as np
from jaxtyping import Int

from tokenry.card import Card
from tokenry.errors import UsageError
from tokenry.method import Chunker, Document, In


@final
@dataclass(frozen=True, kw_only=True)
class FixedChunks(Chunker):
    """Cuts after every so many tokens; neighbours may share some.

    Args:
        size: Tokens of a chunk; the last may have fewer.
        overlap: Tokens that a chunk shares with the one before.

    Raises:
        UsageError: If `overlap` is not below `size`.
    """

    card: ClassVar[Card] = Card(
        slug="fixed-chunks",
        name="Fixed chunks",
        title="A new chunk after every so many tokens",
        summary="Cuts documents by token count alone: what cleverer chunkers have to beat.",
        family="retrieval",
        have="documents to search",
        want="chunks to measure others against",
        dial="none: there is no keep; `size` says how many tokens a chunk has",
    )

    overlap: Annotated[int, In(0, 1_000_000), "tokens shared with the chunk before"] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.overlap >= self.size:
            raise UsageError(
                f"FixedChunks: overlap={self.overlap} is not below size={self.size}; "
                "give less overlap."
            )

    def chunk(self, document: Document) -> Int[np.ndarray, "n 2"]:
        """The chunks of a document; of a blank one, none."""
        count = len(document.tokens)
        first = np.arange(0, max(count - self.overlap, min(count, 1)), self.size - self.overlap)
        last = np.minimum(first + self.size, count) - 1
        return np.stack((document.tokens[first, 0], document.tokens[last, 1]), 1)
