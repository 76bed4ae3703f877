"""Chunks whose pieces are as alike as possible, of all ways to cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import numpy as np
from jaxtyping import Float, Int

from tokenry.card import Card
from tokenry.errors import UsageError
from tokenry.method import Chunker, Document, In
from tokenry.ops.segments import counter, recursive, stretches


@final
@dataclass(frozen=True, kw_only=True)
class ClusterChunks(Chunker):
    r"""Chooses the cuts that make the pieces within chunks most alike, summed over the document.

    A chunk of pieces $a..b$ is worth $\sum_{i \ne j \in a..b} (v_i \cdot v_j - \mu)$, where $\mu$
    is the mean over all pairs of the document; a dynamic programme over its last piece finds the
    best cuts. Only pieces that can share a chunk are compared, so time and memory grow with the
    document's length, not with its square.

    Args:
        size: Most tokens of a chunk.
        piece: Most tokens of a piece.

    Raises:
        UsageError: If `piece` is larger than `size`.
    """

    card: ClassVar[Card] = Card(
        slug="cluster-chunks",
        name="Cluster chunks",
        title="The cuts under which chunks hold what is alike",
        summary="Cuts so that each chunk is about one thing, by a dynamic programme over pieces.",
        family="retrieval",
        have="documents to search and an encoder",
        want="chunks that end where the meaning changes",
        dial="none: there is no keep; `size` says how many tokens a chunk may have",
    )
    embeds: ClassVar[bool] = True

    size: Annotated[int, In(1, 1_000_000), "most tokens of a chunk"] = 400
    piece: Annotated[int, In(1, 10_000), "most tokens of a piece"] = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.piece > self.size:
            raise UsageError(
                f"ClusterChunks: piece={self.piece} is larger than size={self.size}; "
                "give smaller pieces."
            )

    def chunk(self, document: Document) -> Int[np.ndarray, "n 2"]:
        """The chunks of a document; of a blank one, none.

        Raises:
            UsageError: If no encoder was named.
        """
        size = counter(document.tokens)
        pieces = stretches(recursive(document.text, (0, len(document.text)), size, self.piece))
        if len(pieces) < 2:
            return pieces
        texts = [document.text[start:end] for start, end in pieces.tolist()]
        vectors = document.vectors("ClusterChunks", texts)
        first = best_cuts(np.asarray(vectors, dtype=np.float64), self.size // self.piece)
        return np.stack((pieces[first, 0], pieces[np.r_[first[1:] - 1, len(pieces) - 1], 1]), 1)


def best_cuts(vectors: Float[np.ndarray, "n d"], most: int) -> Int[np.ndarray, " k"]:
    """The first piece of each chunk, of the cuts of highest worth; of equals, smaller chunks.

    Args:
        vectors: One of length one for each piece.
        most: Most pieces of a chunk.

    >>> best_cuts(np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]]), 4).tolist()
    [0, 2]
    """
    n = len(vectors)
    mean = ((vectors.sum(0) ** 2).sum() - (vectors**2).sum()) / (n * (n - 1))
    worth = np.zeros((n, most))  # of the chunk that ends with row and has column + 1 pieces
    joined = np.zeros(n)  # the likeness of each piece to the next ones, up to `far`
    for far in range(1, min(most, n)):
        joined = joined[:-1] + (vectors[far:] * vectors[:-far]).sum(1) - mean
        worth[far:, far] = worth[far:, far - 1] + 2 * joined
    best = np.full(n + 1, -np.inf)
    best[0] = 0
    pieces = np.ones(n, dtype=np.int64)
    for end in range(n):
        options = best[max(0, end + 1 - most) : end + 1][::-1] + worth[end, : min(most, end + 1)]
        pieces[end] = 1 + int(options.argmax())
        best[end + 1] = options[pieces[end] - 1]
    first, end = [], n
    while end:
        end -= int(pieces[end - 1])
        first.append(end)
    return np.asarray(first[::-1], dtype=np.int64)
