"""Chunks between separators: paragraphs if they fit, else lines, sentences, words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import numpy as np
from jaxtyping import Int

from tokenry.card import Card
from tokenry.method import Chunker, Document
from tokenry.ops.segments import SEPARATORS, counter, recursive, stretches


@final
@dataclass(frozen=True, kw_only=True)
class RecursiveChunks(Chunker):
    """Cuts at the first separator that makes pieces short enough, and packs small ones together.

    Args:
        size: Most tokens of a chunk.
        separators: Where to cut, the best place first.
    """

    card: ClassVar[Card] = Card(
        slug="recursive-chunks",
        name="Recursive chunks",
        title="Paragraphs if they fit, else lines, sentences, words",
        summary="Cuts at the largest break of the text that gives chunks of the wanted size.",
        family="retrieval",
        have="documents to search",
        want="chunks that respect paragraphs and sentences",
        dial="none: there is no keep; `size` says how many tokens a chunk may have",
    )

    separators: Annotated[tuple[str, ...], "where to cut, the best place first"] = SEPARATORS

    def chunk(self, document: Document) -> Int[np.ndarray, "n 2"]:
        """The chunks of a document; of a blank one, none."""
        whole = (0, len(document.text))
        size = counter(document.tokens)
        marks = tuple(mark for mark in self.separators if mark)
        return stretches(recursive(document.text, whole, size, self.size, marks))
