"""Chunks of whole sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Int

from tokenry.card import Card
from tokenry.method import Chunker, Document
from tokenry.ops.segments import counter, packed, recursive, sentences, stretches


@final
@dataclass(frozen=True, kw_only=True)
class SentenceChunks(Chunker):
    """Packs whole sentences together while they fit; only a longer sentence is cut.

    Args:
        size: Most tokens of a chunk; 1 gives pieces of words, 20 mostly single sentences.
    """

    card: ClassVar[Card] = Card(
        slug="sentence-chunks",
        name="Sentence chunks",
        title="Whole sentences, as many as fit",
        summary="Never cuts inside a sentence unless it is longer than a chunk may be.",
        family="retrieval",
        have="documents to search",
        want="chunks that respect paragraphs and sentences",
        dial="none: there is no keep; `size` says how many tokens a chunk may have",
    )

    def chunk(self, document: Document) -> Int[np.ndarray, "n 2"]:
        """The chunks of a document; of a blank one, none."""
        size = counter(document.tokens)
        pieces = [
            piece
            for sentence in sentences(document.text)
            for piece in recursive(document.text, sentence, size, self.size, (" ",))
        ]
        return stretches(packed(pieces, size, self.size))
