"""One segment of exact token vectors: four columns that grow together."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from tokenry.errors import StoreError
from tokenry.index.columns import Column, sync_folder
from tokenry.index.store import Keys, Shape
from tokenry.ops.ragged import Ragged

Places = Int64[np.ndarray, " _"]
"""Which documents of a segment, counted from 0."""


class Segment:
    """Documents behind each other in a folder: vectors in float16, ends of documents, and keys.

    Args:
        folder: Where the columns lie; made when it does not exist and `write` is true.
        shape: Lengths of the vectors.
        documents: Documents that are valid.
        tokens: Their token vectors.
        write: Whether documents will be added.
    """

    kind = "exact"

    def __init__(
        self, folder: Path, shape: Shape, documents: int, tokens: int, *, write: bool
    ) -> None:
        self.folder = folder
        if write:
            folder.mkdir(parents=True, exist_ok=True)
        self._tokens = Column(folder / "tokens.f16", "<f2", shape.dimension, tokens, write=write)
        self._ends = Column(folder / "ends.i64", "<i8", 1, documents, write=write)
        self._keys = Column(folder / "keys.i64", "<i8", 1, documents, write=write)
        self._pooled = Column(folder / "pooled.f16", "<f2", shape.pooled, documents, write=write)
        self._columns = (self._tokens, self._ends, self._keys, self._pooled)

    @property
    def documents(self) -> int:
        """Documents, those deleted since included."""
        return self._keys.rows

    @property
    def tokens(self) -> int:
        """Their token vectors."""
        return self._tokens.rows

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

    def add(self, keys: Keys, tokens: Ragged, pooled: Float[Tensor, "c p"] | None) -> None:
        """Append documents: all of them or, when the disk is full, none."""
        before = [column.rows for column in self._columns]
        ends = tokens.offsets[1:].numpy() + self._tokens.rows
        vectors = torch.empty(len(keys), 0) if pooled is None else pooled
        try:
            self._tokens.append(_half(tokens.values))
            self._ends.append(ends[:, None])
            self._keys.append(keys[:, None])
            self._pooled.append(_half(vectors))
        except StoreError:
            for column, rows in zip(self._columns, before, strict=True):
                column.cut(rows)
            raise

    def sync(self) -> None:
        """Wait until all documents are on the disk."""
        for column in self._columns:
            column.sync()
        sync_folder(self.folder)

    def gather(self, places: Places) -> Ragged:
        """The token vectors of some documents, in the order given."""
        stops = self.ends[places]
        starts = np.where(places > 0, self.ends[places - 1], 0)
        matrix = self._tokens.view()
        joined = bool((starts[1:] == stops[:-1]).all())
        if joined and len(places):
            rows = matrix[starts[0] : stops[-1]]
        else:
            parts = [matrix[a:b] for a, b in zip(starts, stops, strict=True)]
            rows = np.concatenate([matrix[:0], *parts])
        offsets = torch.from_numpy(np.concatenate([[0], (stops - starts).cumsum()]))
        return Ragged(torch.from_numpy(rows), offsets)

    def pooled(self, places: Places) -> Float[Tensor, "c p"]:
        """The pooled vectors of some documents."""
        return torch.from_numpy(self._pooled.view()[places])

    def blocks(self, places: Places, tokens: int) -> Iterator[Places]:
        """Parts of `places` with about as many token vectors each; lets go of what was read."""
        if not len(places):
            return
        lengths = self.ends[places] - np.where(places > 0, self.ends[places - 1], 0)
        filled = (lengths.cumsum() - lengths) // tokens
        cuts = np.flatnonzero(np.diff(filled)) + 1
        for part in np.split(places, cuts):
            yield part
            self._tokens.release()

    def close(self) -> None:
        """Let go of the files."""
        for column in self._columns:
            column.close()

    def remove(self) -> None:
        """Remove the files; where the system forbids it, the next writer does."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _half(values: Float[Tensor, "n d"]) -> NDArray[np.float16]:
    found: NDArray[np.float16] = values.detach().to("cpu", torch.float16).numpy()
    return found
