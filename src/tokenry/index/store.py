"""The protocol of a token store: where vectors lie, under keys that never change their meaning.

A store knows numbers only. Texts, metadata and the ids that users give stand in the catalogue of
the index, which hands out a fresh key for each version of each document and decides alone what
exists: a store may hold keys that the catalogue does not know, never the other way round. So a
process may be killed between any two steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from tokenry.errors import UsageError
from tokenry.ops.late import Impute, maxsim, xtr_scores
from tokenry.ops.ragged import Ragged

Keys = Int64[np.ndarray, " _"]
"""Keys of documents; positive, each handed out once."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What all documents of a store have in common.

    Attributes:
        dimension: Length of a token vector.
        pooled: Length of the one vector of a document; 0 where there is none.
    """

    dimension: int
    pooled: int = 0

    def agree(self, held: Shape, place: str) -> None:
        """Refuse a place that holds vectors of other lengths.

        Args:
            held: Their lengths.
            place: How a message that goes on with "holds vectors of" begins.

        Raises:
            UsageError: If they differ.
        """
        if held != self:
            raise UsageError(
                f"{place} holds vectors of {held.dimension} dimensions (pooled: {held.pooled}), "
                f"not {self.dimension} (pooled: {self.pooled})."
            )


@dataclass(frozen=True, slots=True)
class Size:
    """How much a store holds.

    Attributes:
        documents: Documents that are there.
        tokens: Their token vectors.
        bytes: What the folder takes, deleted documents included; 0 where nobody knows.
    """

    documents: int
    tokens: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """Documents and their scores, the best first; equal scores in ascending order of keys."""

    keys: Keys
    scores: Shaped[np.ndarray, " c"]

    @classmethod
    def best(cls, keys: Keys, scores: Shaped[np.ndarray, " c"], k: int) -> Ranking:
        """The `k` best of several; those of minus infinity or NaN are none.

        >>> Ranking.best(np.array([1, 2, 3]), np.array([0.1, 0.9, 0.5]), 2).keys.tolist()
        [2, 3]
        """
        real = np.isfinite(scores)
        keys, scores = keys[real], scores[real]
        if k < len(keys):
            least = np.partition(scores, len(scores) - k)[len(scores) - k]
            keys, scores = keys[scores >= least], scores[scores >= least]
        order = np.lexsort((keys, -scores))[:k]
        return cls(keys[order], scores[order])

    @classmethod
    def joined(cls, parts: Sequence[tuple[Keys, Shaped[np.ndarray, " _"]]], k: int) -> Ranking:
        """The `k` best of several lists of keys with their scores."""
        keys = np.concatenate([np.empty(0, np.int64), *(keys for keys, _ in parts)])
        scores = np.concatenate([np.empty(0, np.float32), *(scores for _, scores in parts)])
        return cls.best(keys, scores, k)

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class TokenHits:
    """The nearest tokens of all documents to each query token, the nearest first.

    Attributes:
        keys: Whose tokens they are; -1 where fewer were found.
        similarities: How near they are.
    """

    keys: Int64[np.ndarray, "n k"]
    similarities: Shaped[np.ndarray, "n k"]

    def ranking(self, k: int, impute: Impute = "last") -> Ranking:
        """The documents by XTR's score (`ops.late.xtr_scores`)."""
        near = torch.as_tensor(self.similarities, dtype=torch.float32)
        found, scores = xtr_scores(torch.as_tensor(self.keys), near, impute)
        return Ranking.best(found.numpy(), scores.numpy(), k)


@dataclass(frozen=True, slots=True)
class Scanned:
    """A block of documents."""

    keys: Keys
    tokens: Ragged


class TokenStore(ABC):
    """Token vectors and one pooled vector of each document, and the rankings by them.

    A subclass writes the abstract methods; the rankings here go through all tokens, and a store
    whose engine ranks itself overrides them. Nothing that was not committed has to survive. Only
    one process writes at a time: the index sees to that.

    Args:
        folder: A folder of the store's own, which it makes; free to stay empty.
        shape: Lengths of the vectors; what stands in the folder agrees with them.
        write: Whether anything will be changed.
    """

    bits: ClassVar[tuple[int, ...]] = ()
    """Bits per dimension that `compress` can bring vectors to."""

    exact: bool = True
    """Whether the rankings are those of the vectors that were added, but for float16."""

    longest: int | None = None
    """Token vectors that one document may have; None for any number."""

    def __init__(self, folder: Path, shape: Shape, *, write: bool) -> None:
        self.folder, self.shape, self.write = folder, shape, write

    @abstractmethod
    def add(self, keys: Keys, tokens: Ragged, pooled: Float[Tensor, "c p"] | None = None) -> None:
        """Append documents; a document may have no tokens.

        Args:
            keys: One for each document, all greater than those added before.
            tokens: Their token vectors, in float16 or wider.
            pooled: Their pooled vectors, where the shape has any.
        """

    @abstractmethod
    def delete(self, keys: Keys) -> None:
        """Take documents out; keys that are not there are passed over."""

    @abstractmethod
    def commit(self) -> None:
        """Make all that was added and deleted survive a kill and a power cut from here on."""

    @abstractmethod
    def keys(self) -> Keys:
        """The documents that are there, in ascending order; what was not committed included."""

    @abstractmethod
    def size(self) -> Size:
        """How much is there."""

    @abstractmethod
    def gather(self, keys: Keys) -> Ragged:
        """The token vectors of some documents, in the order given; of one not there, none."""

    @abstractmethod
    def pooled(self, keys: Keys) -> Float[Tensor, "c p"]:
        """The pooled vectors of some documents, in the order given; of one not there, zeros."""

    def check(self, tokens: Ragged, name: Callable[[int], str]) -> None:
        """Refuse a document with more token vectors than the store takes.

        Args:
            tokens: Token vectors of documents.
            name: The id of the document at a place among them.

        Raises:
            UsageError: If there is one.
        """
        counts = tokens.lengths.tolist()
        place = next((i for i, n in enumerate(counts) if n > (self.longest or n)), None)
        if place is not None:
            raise UsageError(
                f"{type(self).__name__}: the document {name(place)!r} has {counts[place]:,} tokens "
                f"of {self.shape.dimension} dimensions, and {self.longest:,} is the most that one "
                "may have there; split the document, or make an index with fewer dimensions."
            )

    def compact(self) -> None:  # noqa: B027 - not every store has anything to do here
        """Give back the space of deleted documents, and commit."""

    def compress(self, bits: int = 4) -> None:
        """Bring all vectors to a few bits per dimension, and commit.

        Raises:
            UsageError: If the store cannot.
        """
        raise UsageError(
            f"{type(self).__name__}: does not compress, to {bits} bits or others; the store "
            "`segments` does."
        )

    def close(self) -> None:  # noqa: B027 - the same
        """Let go of files and connections; what was not committed may be lost."""

    def scan(self, among: Keys | None = None, tokens: int = 1 << 14) -> Iterator[Scanned]:
        """All documents or some of them, in ascending order of keys, in blocks.

        Args:
            among: Keys in ascending order; None for all documents.
            tokens: About how many token vectors a block holds, at least one document.
        """
        wanted = self.keys() if among is None else among
        step = max(1, tokens // 256)
        for start in range(0, len(wanted), step):
            keys = wanted[start : start + step]
            yield Scanned(keys, self.gather(keys))

    def maxsim(self, query: Float[Tensor, "n d"], k: int, among: Keys | None = None) -> Ranking:
        """The documents with the greatest sum over query tokens of the best similarity.

        Args:
            query: Token vectors of one query.
            k: Most documents.
            among: Only these, keys in ascending order; None for all.
        """
        self._fits(query)
        q = Ragged.of([query.float()])
        found = [(block.keys, maxsim(q, block.tokens)[0].numpy()) for block in self.scan(among)]
        return Ranking.joined(found if len(query) else [], k)

    def hits(self, query: Float[Tensor, "n d"], k: int, among: Keys | None = None) -> TokenHits:
        """The `k` tokens of all documents that are nearest to each query token."""
        self._fits(query)
        near = torch.empty(len(query), 0)
        whose = torch.empty(len(query), 0, dtype=torch.int64)
        for block in self.scan(among):
            found = query.float() @ block.tokens.values.float().T
            owners = torch.from_numpy(block.keys)[block.tokens.owners]
            near = torch.cat([near, found], 1)
            whose = torch.cat([whose, owners.expand(len(query), -1)], 1)
            near, places = near.topk(min(k, near.shape[1]), 1)
            whose = whose.gather(1, places)
        return TokenHits(whose.numpy(), near.numpy())

    def nearest(self, vector: Float[Tensor, " p"], k: int, among: Keys | None = None) -> Ranking:
        """The documents whose pooled vector is nearest to one vector."""
        keys = self.keys() if among is None else np.intersect1d(among, self.keys())
        found = [
            (part, (self.pooled(part).float() @ vector.float()).numpy())
            for start in range(0, len(keys), 1 << 14)
            for part in [keys[start : start + (1 << 14)]]
        ]
        return Ranking.joined(found, k)

    def _fits(self, query: Float[Tensor, "n d"]) -> None:
        if query.shape[1] != self.shape.dimension:
            raise UsageError(
                f"{type(self).__name__}: the query's vectors have {query.shape[1]} dimensions, "
                f"the documents' have {self.shape.dimension}; encode both with one encoder."
            )

    def __enter__(self) -> TokenStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
