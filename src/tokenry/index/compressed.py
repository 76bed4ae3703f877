"""A compressed segment: tokens of a few bits per dimension, side by side where they are alike.

The centroid of a token is where it stands; beside its residual there are the number of its
document, for the search, and the way from a document to its tokens, to read them again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from tokenry.errors import StoreError
from tokenry.index.columns import Column, explained, write_tensors
from tokenry.index.segment import Places, Segment, ends_of
from tokenry.index.store import Keys, Ranking, Shape
from tokenry.ops.kmeans import spherical_kmeans
from tokenry.ops.ragged import Ragged
from tokenry.ops.residual import ResidualCodec
from tokenry.ops.similarity import unit
from tokenry.ops.warp import PROBE, Groups, centroid_count, grouped, maxsim_scores, warp_scores

CODEC = "codec.safetensors"
SAMPLE = 32
"""Tokens that each centroid is learned from."""

HELD_OUT = 50_000
"""Most tokens that the buckets are learned from."""

RESCORED = 4
"""Documents that are scored again with all their tokens, for each one asked for."""

STEP = 1 << 17
"""Rows that are read or written together."""

Rows = NDArray[np.int64]
Piece = tuple[Keys, Ragged, Float[Tensor, "c p"]]
Source = Callable[[], Iterator[Piece]]
"""Documents in blocks, as often as they are asked for."""


class CompressedSegment(Segment):
    """Token vectors as a centroid and a residual of few bits; they can be read, not added.

    Args:
        folder: Where it lies.
        shape: Lengths of the vectors.
        documents: Documents that it holds.
        tokens: Their token vectors.
        write: Whether it is being made.
        probe: Clusters that each query token looks into.
        room: Documents that will be written, where it is being made.
    """

    kind = "compressed"

    def __init__(
        self,
        folder: Path,
        shape: Shape,
        documents: int,
        tokens: int,
        *,
        write: bool = False,
        probe: int = PROBE,
        room: int = 0,
    ) -> None:
        super().__init__(folder, shape, documents, write=write)
        self._probe = probe
        self._codec, self._unit = _read_codec(folder)
        width, clusters = self._codec.width, len(self._codec.centroids)
        owner = "u2" if max(documents, room) <= 1 << 16 else "u4"
        self._packed = Column(folder / "residuals.u8", "u1", width, tokens, write=write)
        self._owners = Column(folder / f"owners.{owner}", f"<{owner}", 1, tokens, write=write)
        self._rows = Column(folder / "rows.u4", "<u4", 1, tokens, write=write)
        held = 0 if write else clusters + 1
        self._bounds = Column(folder / "bounds.i64", "<i8", 1, held, write=write)
        self._columns += [self._packed, self._owners, self._rows, self._bounds]

    @property
    def tokens(self) -> int:
        """Token vectors of all documents."""
        return self._packed.rows

    @property
    def bits(self) -> int:
        """Bits per dimension."""
        return self._codec.bits

    def gather(self, places: Places) -> Ragged:
        """The token vectors of some documents, decoded to float16.

        They have length one where all vectors had it that were compressed.
        """
        rows, offsets = self._rows_of(places)
        packed = torch.from_numpy(self._packed[rows])
        vectors = self._codec.decode(torch.from_numpy(self._codes(rows)), packed)
        return Ragged((unit(vectors) if self._unit else vectors).half(), offsets)

    def rank(self, query: Float[Tensor, "n d"], k: int, places: Places) -> Ranking:
        """The best of some documents: found by WARP, put in order by all their tokens."""
        allowed = np.zeros(self.documents, np.bool_)
        allowed[places] = True
        scores = warp_scores(query, self._groups(), probe=self._probe, allowed=allowed)
        found = Ranking.best(np.arange(self.documents), scores, RESCORED * k)
        parts = []
        for chosen in self._blocks(np.sort(found.keys), STEP):
            rows, offsets = self._rows_of(chosen)
            # Of the vectors that `gather` rounds to float16, before they are rounded.
            scores = maxsim_scores(
                query, self._groups(), rows, self._codes(rows), offsets.numpy(), unit=self._unit
            )
            parts.append((self.keys[chosen], scores))
        self.release()
        return Ranking.joined(parts, k)

    def _codes(self, rows: Rows) -> Rows:
        """The centroid of some rows."""
        return np.searchsorted(self._bounds.view()[:, 0], rows, "right") - 1

    def _rows_of(self, places: Places) -> tuple[Rows, Tensor]:
        """Where the tokens of some documents lie among all, and where each document begins."""
        starts, stops = self._ranges(places)
        lengths = stops - starts
        shift = np.repeat(starts - (lengths.cumsum() - lengths), lengths)
        rows = self._rows[shift + np.arange(lengths.sum())][:, 0]
        return rows.astype(np.int64), ends_of(lengths)

    def _groups(self) -> Groups:
        bounds = self._bounds.view()[:, 0]
        if self._packed.large:
            return Groups(self._codec, bounds, self._packed, self._owners, self.documents)
        packed, owners = self._packed.view(), self._owners.view()[:, 0]
        return Groups(self._codec, bounds, packed, owners, self.documents)

    def release(self) -> None:
        """Let the system take back the memory of what was read."""
        for column in (self._packed, self._owners, self._rows):
            column.release()

    def fill(self, source: Source, tokens: int) -> None:
        """Write the documents, which were `tokens` token vectors when they were counted."""
        codes = np.empty(tokens, np.int64)
        filled, path = 0, self.folder / "plain.u8"
        with closing(Column(path, "u1", self._codec.width, 0, write=True)) as plain:
            for keys, lists, pooled in source():
                found, packed = self._codec.encode(lists.values.float())
                codes[filled : filled + len(found)] = found.numpy()
                plain.append(packed.numpy())
                self._enter(keys, lists.offsets[1:].numpy() + filled, pooled)
                filled += len(found)
            order, bounds = grouped(codes, len(self._codec.centroids))
            owners = np.repeat(np.arange(self.documents), np.diff(self.ends, prepend=0))
            rows = np.empty(len(order), np.uint32)
            rows[order] = np.arange(len(order), dtype=np.uint32)
            self._write(plain, order, owners, rows, bounds)
        path.unlink()

    def copy_of(self, folder: Path, alive: NDArray[np.bool_]) -> CompressedSegment:
        """Write the documents that are alive to another folder, with the same codes."""
        places = np.flatnonzero(alive)
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / CODEC, folder / CODEC)
        made = CompressedSegment(
            folder, self.shape, 0, 0, write=True, probe=self._probe, room=len(places)
        )
        try:
            self._copy_to(made, places, alive)
        except BaseException:
            made.remove()
            raise
        return made

    def _copy_to(self, made: CompressedSegment, places: Places, alive: NDArray[np.bool_]) -> None:
        starts, stops = self._ranges(places)
        made._enter(self.keys[places], (stops - starts).cumsum(), self.pooled(places))
        number = (alive.cumsum() - 1).astype(np.uint32)
        owners = self._owners.view()[:, 0]
        stay = np.flatnonzero(alive[owners])
        # Tokens of the documents that stay, in their order, by the row that they have now.
        before = self._rows.view()[:, 0]
        rows = np.searchsorted(stay, before[alive[owners[before]]])
        bounds = np.searchsorted(stay, self._bounds.view()[:, 0])
        made._write(self._packed, stay, number[owners], rows, bounds)

    def _write(
        self,
        packed: Column,
        order: Rows,
        owners: NDArray[Any],
        rows: NDArray[Any],
        bounds: Rows,
    ) -> None:
        """Write the tokens, by centroid; documents were entered before.

        Args:
            packed: Residuals, wherever they lie now.
            order: Which of them are written, one behind the other.
            owners: The document of each of `packed`.
            rows: The row that each token gets, in the order of the documents.
            bounds: The row at which each centroid begins, and the last one ends.
        """
        for part in _steps(order):
            self._packed.append(packed[part])
            self._owners.append(owners[part][:, None])
        self._rows.append(rows[:, None])
        self._bounds.append(bounds[:, None])


def _steps(rows: Rows) -> list[Rows]:
    """Rows that are read or written together."""
    return np.split(rows, np.arange(STEP, len(rows), STEP))


@dataclass(frozen=True, slots=True)
class Amount:
    """How much a source holds."""

    documents: int
    tokens: int


def learn_codec(
    folder: Path, source: Source, amount: Amount, *, bits: int, seed: int = 0
) -> ResidualCodec:
    """Learn centroids and buckets from a sample of the tokens, and write them to the folder."""
    count = centroid_count(amount.tokens)
    share = min(1.0, SAMPLE * count / max(amount.tokens, 1))
    draw = torch.Generator().manual_seed(seed)
    rows = [
        lists.values[torch.rand(len(lists.values), generator=draw) < share].float()
        for _, lists, _ in source()
    ]
    sample = torch.cat(rows)
    sample = sample[torch.randperm(len(sample), generator=draw)]
    aside = min(HELD_OUT, len(sample) // 20)
    learned = spherical_kmeans(sample[aside:], count, seed=seed).half()
    # A small collection has no tokens to spare: its buckets come from those of the centroids.
    held_out = sample[:aside] if aside >= 1000 else sample[:HELD_OUT]
    codec = ResidualCodec.fit(held_out, learned.float(), bits)
    lengths = sample.norm(dim=1)
    content = {
        "centroids": learned,
        "cutoffs": codec.cutoffs,
        "weights": codec.weights,
        "unit": ((lengths - 1).abs() < 0.01).all()[None],
    }
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(folder / CODEC, content)
    return codec


def _read_codec(folder: Path) -> tuple[ResidualCodec, bool]:
    """The codec, and whether the vectors had length one."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    with explained(folder):
        try:
            held = load_file(folder / CODEC)
            codec = ResidualCodec(held["centroids"].float(), held["cutoffs"], held["weights"])
            return codec, bool(held["unit"])
        except (SafetensorError, KeyError) as error:
            raise StoreError(f"{folder / CODEC}: is damaged ({error}).") from error
