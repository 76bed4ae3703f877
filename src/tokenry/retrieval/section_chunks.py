"""Chunks that are sections of the document, as its headings say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Int

from tokenry.card import Card
from tokenry.method import Chunker, Document
from tokenry.ops.segments import counter, recursive, sections, stretches


@final
@dataclass(frozen=True, kw_only=True)
class SectionChunks(Chunker):
    """Cuts at headings: of Markdown, wikis, manual pages, or underlined; long sections further.

    Args:
        size: Most tokens of a chunk; a longer section is cut at paragraphs, lines and sentences.
    """

    card: ClassVar[Card] = Card(
        slug="section-chunks",
        name="Section chunks",
        title="The sections of a document",
        summary="Cuts where the document has headings; a section without one never joins another.",
        family="retrieval",
        have="documents with headings to search",
        want="chunks that are sections",
        dial="none: there is no keep; `size` says how many tokens a chunk may have",
    )

    def chunk(self, document: Document) -> Int[np.ndarray, "n 2"]:
        """The chunks of a document; of a blank one, none."""
        size = counter(document.tokens)
        found = [
            piece
            for section in sections(document.text)
            for piece in recursive(document.text, section, size, self.size)
        ]
        return stretches(found)
