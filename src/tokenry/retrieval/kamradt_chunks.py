"""Chunks that end where neighbouring pieces differ most in meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import numpy as np
from jaxtyping import Bool, Float, Int

from tokenry.card import Card
from tokenry.method import Chunker, Document, In
from tokenry.ops.segments import counter, recursive, sentences, stretches


@final
@dataclass(frozen=True, kw_only=True)
class KamradtChunks(Chunker):
    """Cuts between pieces whose vectors, read with their neighbours, are far apart.

    With a percentile it cuts at the distances above it. Without, it cuts at as many of the largest
    distances as chunks of `size` tokens need on average: where the known binary search for a
    threshold ends, found by sorting.

    Args:
        size: Tokens of a chunk on average; without meaning where a percentile is given.
        percentile: Percentage of the distances that are no cut; None for a mean size.
        piece: Most tokens of a piece; 0 takes sentences of whatever length.
        around: Neighbours on each side that a piece is read with.
    """

    card: ClassVar[Card] = Card(
        slug="kamradt-chunks",
        name="Kamradt chunks",
        title="Cut where the distance between neighbours is largest",
        summary="Cuts where the meaning changes most from one piece to the next.",
        family="retrieval",
        have="documents to search and an encoder",
        want="chunks that end where the meaning changes",
        dial="none: there is no keep; `size` says how many tokens a chunk has on average",
    )
    embeds: ClassVar[bool] = True
    bounded: ClassVar[bool] = False

    percentile: Annotated[float | None, In(0, 100), "the percentage that is no cut"] = None
    piece: Annotated[int, In(0, 10_000), "most tokens of a piece; 0 takes sentences"] = 50
    around: Annotated[int, In(0, 100), "neighbours on each side that a piece is read with"] = 1

    def chunk(self, document: Document) -> Int[np.ndarray, "n 2"]:
        """The chunks of a document; of a blank one, none.

        Raises:
            UsageError: If no encoder was named.
        """
        size = counter(document.tokens)
        whole = (0, len(document.text))
        pieces = stretches(
            recursive(document.text, whole, size, self.piece)
            if self.piece
            else sentences(document.text)
        )
        if len(pieces) < 2:
            return pieces
        vectors = document.vectors("KamradtChunks", self._read(document.text, pieces))
        distances = 1 - (vectors[1:] * vectors[:-1]).sum(1)
        chunks = len(document.tokens) / self.size
        cut = self.cuts(distances, chunks)
        first = pieces[np.r_[True, cut], 0]
        last = pieces[np.r_[cut, True], 1]
        return np.stack((first, last), 1)

    def cuts(self, distances: Float[np.ndarray, " n"], chunks: float) -> Bool[np.ndarray, " n"]:
        """At which distances to cut, to have about so many chunks or to follow the percentile.

        >>> KamradtChunks().cuts(np.array([0.1, 0.5, 0.3]), 2.0).tolist()
        [False, True, False]
        """
        if self.percentile is not None:
            return np.asarray(distances > np.percentile(distances, self.percentile))
        count = min(max(round(chunks) - 1, 0), len(distances))
        found = np.zeros(len(distances), dtype=bool)
        found[np.argsort(-distances, kind="stable")[:count]] = True
        return found

    def _read(self, text: str, pieces: Int[np.ndarray, "n 2"]) -> list[str]:
        """Each piece with its neighbours."""
        at = np.arange(len(pieces))
        starts = pieces[np.maximum(at - self.around, 0), 0].tolist()
        ends = pieces[np.minimum(at + self.around, len(pieces) - 1), 1].tolist()
        return [text[start:end] for start, end in zip(starts, ends, strict=True)]
