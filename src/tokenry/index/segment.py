"""Segments: documents behind each other in a folder, in columns that grow together."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from tokenry.errors import StoreError
from tokenry.index.columns import Column, explained, sync_folder
from tokenry.index.store import Keys, Ranking, Scanned, Shape
from tokenry.ops.late import maxsim
from tokenry.ops.ragged import Ragged

Places = Int64[np.ndarray, " _"]
"""Which documents of a segment, counted from 0."""

BLOCK = 1 << 14
"""Token vectors that are looked at together."""


class Segment(ABC):
    """What all kinds of segments have: keys, ends and pooled vectors of documents.

    Args:
        folder: Where the columns lie; made when it does not exist and `write` is true.
        shape: Lengths of the vectors.
        documents: Documents that are valid.
        write: Whether documents will be added.
    """

    kind: ClassVar[str]

    def __init__(self, folder: Path, shape: Shape, documents: int, *, write: bool) -> None:
        self.folder, self.shape = folder, shape
        if write:
            with explained(folder):
                folder.mkdir(parents=True, exist_ok=True)
        self._ends = Column(folder / "ends.i64", "<i8", 1, documents, write=write)
        self._keys = Column(folder / "keys.i64", "<i8", 1, documents, write=write)
        self._pooled = Column(folder / "pooled.f16", "<f2", shape.pooled, documents, write=write)
        self._columns = [self._ends, self._keys, self._pooled]

    @property
    def documents(self) -> int:
        """Documents, those deleted since included."""
        return self._keys.rows

    @property
    @abstractmethod
    def tokens(self) -> int:
        """Their token vectors."""

    @property
    def keys(self) -> Keys:
        """Keys of the documents, ascending."""
        found: Keys = self._keys.view()[:, 0]
        return found

    @property
    def ends(self) -> NDArray[np.int64]:
        """For each document, the number of vectors up to its end."""
        found: NDArray[np.int64] = self._ends.view()[:, 0]
        return found

    @abstractmethod
    def gather(self, places: Places) -> Ragged:
        """The token vectors of some documents, in the order given."""

    @abstractmethod
    def release(self) -> None:
        """Let the system take back the memory of vectors that were read."""

    def pooled(self, places: Places) -> Float[Tensor, "c p"]:
        """The pooled vectors of some documents."""
        return torch.from_numpy(self._pooled.view()[places])

    def scan(self, places: Places, tokens: int = BLOCK) -> Iterator[Scanned]:
        """Some documents in blocks of about as many token vectors each."""
        for part in self._blocks(places, tokens):
            yield Scanned(self.keys[part], self.gather(part))
            self.release()

    def rank(self, query: Float[Tensor, "n d"], k: int, places: Places) -> Ranking:
        """The best of some documents by MaxSim."""
        q = Ragged.of([query.float()])
        parts = [(one.keys, maxsim(q, one.tokens)[0].numpy()) for one in self.scan(places)]
        return Ranking.joined(parts, k)

    def sync(self) -> None:
        """Wait until all documents are on the disk."""
        for column in self._columns:
            column.sync()
        sync_folder(self.folder)

    def close(self) -> None:
        """Let go of the files."""
        for column in self._columns:
            column.close()

    def remove(self) -> None:
        """Remove the files; where the system forbids it, the next writer does."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _enter(self, keys: Keys, ends: Places, pooled: Float[Tensor, "c p"] | None) -> None:
        """Append what all kinds of segments hold of documents.

        Args:
            keys: Of the documents, ascending.
            ends: Where the token vectors of each end among all.
            pooled: Their pooled vectors; None where the segment holds none.
        """
        self._ends.append(ends[:, None])
        self._keys.append(keys[:, None])
        self._pooled.append(half(torch.empty(len(keys), 0) if pooled is None else pooled))

    def _blocks(self, places: Places, tokens: int = BLOCK) -> list[Places]:
        """Some documents, those together that have about so many token vectors."""
        if not len(places):
            return []
        starts, stops = self._ranges(places)
        lengths = stops - starts
        filled = (lengths.cumsum() - lengths) // tokens
        return np.split(places, np.flatnonzero(np.diff(filled)) + 1)

    def _ranges(self, places: Places) -> tuple[Places, Places]:
        """Where the vectors of documents begin and end."""
        ends = self.ends
        return np.where(places > 0, ends[places - 1], 0), ends[places]


class ExactSegment(Segment):
    """Token vectors as they came, in float16.

    Args:
        folder: As for any segment.
        shape: Lengths of the vectors.
        documents: Documents that are valid.
        tokens: Their token vectors.
        write: Whether documents will be added.
    """

    kind = "exact"

    def __init__(
        self, folder: Path, shape: Shape, documents: int, tokens: int, *, write: bool
    ) -> None:
        super().__init__(folder, shape, documents, write=write)
        self._tokens = Column(folder / "tokens.f16", "<f2", shape.dimension, tokens, write=write)
        self._columns.append(self._tokens)

    @property
    def tokens(self) -> int:
        """Token vectors of all documents."""
        return self._tokens.rows

    def add(self, keys: Keys, tokens: Ragged, pooled: Float[Tensor, "c p"] | None) -> None:
        """Append documents: all of them or, when the disk is full, none."""
        before = [column.rows for column in self._columns]
        ends = tokens.offsets[1:].numpy() + self._tokens.rows
        try:
            self._tokens.append(half(tokens.values))
            self._enter(keys, ends, pooled)
        except StoreError:
            for column, rows in zip(self._columns, before, strict=True):
                column.cut(rows)
            raise

    def gather(self, places: Places) -> Ragged:
        """The token vectors of some documents, straight from the map where they are neighbours."""
        starts, stops = self._ranges(places)
        matrix = self._tokens.view()
        if len(places) and bool((starts[1:] == stops[:-1]).all()):
            rows = matrix[starts[0] : stops[-1]]
        else:
            parts = [matrix[a:b] for a, b in zip(starts, stops, strict=True)]
            rows = np.concatenate([matrix[:0], *parts])
        return Ragged(torch.from_numpy(rows), ends_of(stops - starts))

    def release(self) -> None:
        """Let the system take back the memory of vectors that were read."""
        self._tokens.release()


def half(values: Float[Tensor, "n d"]) -> NDArray[np.float16]:
    """The values as they are stored."""
    found: NDArray[np.float16] = values.detach().to("cpu", torch.float16).numpy()
    return found


def ends_of(lengths: NDArray[np.int64]) -> Tensor:
    """Offsets of lists with these lengths."""
    return torch.from_numpy(np.concatenate([np.zeros(1, np.int64), lengths.cumsum()]))
