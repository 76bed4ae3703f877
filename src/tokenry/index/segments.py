"""The store of our own: append-only segments in memory-mapped files, and a manifest.

What the manifest names is there; it is replaced whole, after the files that it names are on the
disk. A deleted document stays in its segment, and its key in a list of dead ones, until the store
is compacted.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from tokenry.errors import StoreError, UsageError
from tokenry.index import columns
from tokenry.index.columns import Column
from tokenry.index.compressed import Amount, CompressedSegment, Piece, learn_codec
from tokenry.index.segment import BLOCK, ExactSegment, Places, Segment
from tokenry.index.store import Keys, Ranking, Scanned, Shape, Size, TokenStore
from tokenry.ops.ragged import Ragged
from tokenry.ops.residual import BITS
from tokenry.ops.warp import PROBE

FORMAT = 1
"""Raised whenever an older version could not read what this one writes."""

MANIFEST = "manifest.json"
FULL = 1 << 22
"""Token vectors after which another segment begins."""


class SegmentStore(TokenStore):
    """Token vectors in float16 in memory-mapped segments; needs no package.

    Args:
        folder: Where it lies.
        shape: Lengths of the vectors.
        write: Whether anything will be changed.
        probe: Clusters of a compressed segment that each query token looks into.

    Raises:
        StoreError: If the folder cannot be read or written, is damaged, or was written by a newer
            version.
    """

    bits = BITS

    def __init__(self, folder: Path, shape: Shape, *, write: bool, probe: int = PROBE) -> None:
        super().__init__(folder, shape, write=write)
        if probe < 1:
            raise UsageError(f"store segments: probe={probe} is below 1; look into some clusters.")
        self._probe = probe
        self._dirty: list[Segment] = []
        if write:
            with columns.explained(folder):
                folder.mkdir(parents=True, exist_ok=True)
        if write and not (folder / MANIFEST).is_file():
            self._next = 1
            self._segments: list[Segment] = []
            self._dead = Column(folder / "dead-0.i64", "<i8", 1, 0, write=True)
            self.commit()
        else:
            columns.follow(folder / MANIFEST, self._open)
        self._refresh()

    def _open(self, manifest: dict[str, Any]) -> None:
        check_format(self.folder / MANIFEST, manifest, FORMAT)
        held = Shape(manifest["dimension"], manifest["pooled"])
        self.shape.agree(held, f"{self.folder}:")
        self._next = manifest["next"]
        dead = self.folder / manifest["dead"]["name"]
        self._dead = Column(dead, "<i8", 1, manifest["dead"]["count"], write=self.write)
        self._segments = [self._segment(**entry) for entry in manifest["segments"]]
        if self.write:
            self._sweep()

    def _segment(self, name: str, kind: str, documents: int, tokens: int) -> Segment:
        folder = self.folder / name
        if kind == CompressedSegment.kind:
            return CompressedSegment(folder, self.shape, documents, tokens, probe=self._probe)
        if kind == ExactSegment.kind:
            return ExactSegment(folder, self.shape, documents, tokens, write=self.write)
        raise StoreError(f"{folder}: is a segment of the unknown kind {kind!r}; update tokenry.")

    def _sweep(self) -> None:
        """Remove what a killed process left, or what another still had open."""
        named = {segment.folder.name for segment in self._segments} | {
            self._dead.path.name,
            MANIFEST,
        }
        for path in self.folder.iterdir():
            if path.name in named:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _refresh(self) -> None:
        """Which documents of each segment are alive."""
        dead = self._dead.view()[:, 0]
        self._alive = [~np.isin(segment.keys, dead) for segment in self._segments]

    def add(self, keys: Keys, tokens: Ragged, pooled: Float[Tensor, "c p"] | None = None) -> None:
        """Append documents to the last segment."""
        last = self._segments[-1] if self._segments else None
        if not isinstance(last, ExactSegment) or last.tokens >= FULL:
            last = self._fresh()
            self._segments.append(last)
            self._alive.append(np.empty(0, bool))
        last.add(keys, tokens, pooled)
        if last not in self._dirty:
            self._dirty.append(last)
        self._alive[-1] = np.concatenate([self._alive[-1], np.ones(len(keys), bool)])

    def delete(self, keys: Keys) -> None:
        """Note the keys of documents as dead."""
        for segment, alive in zip(self._segments, self._alive, strict=True):
            places = _places(segment.keys, keys)
            places = places[alive[places]]
            self._dead.append(segment.keys[places][:, None])
            alive[places] = False

    def commit(self) -> None:
        """Wait for the files, then replace the manifest."""
        for segment in self._dirty:
            segment.sync()
        self._dirty = []
        self._dead.sync()
        entries = [
            {"name": s.folder.name, "kind": s.kind, "documents": s.documents, "tokens": s.tokens}
            for s in self._segments
        ]
        manifest = {
            "format": FORMAT,
            "dimension": self.shape.dimension,
            "pooled": self.shape.pooled,
            "next": self._next,
            "dead": {"name": self._dead.path.name, "count": self._dead.rows},
            "segments": entries,
        }
        columns.replace(self.folder / MANIFEST, manifest)

    def keys(self) -> Keys:
        """The documents that are there."""
        pairs = zip(self._segments, self._alive, strict=True)
        return np.concatenate(
            [np.empty(0, np.int64), *(segment.keys[alive] for segment, alive in pairs)]
        )

    def size(self) -> Size:
        """How much is there, and what the folder takes."""
        documents = tokens = 0
        for segment, alive in zip(self._segments, self._alive, strict=True):
            documents += int(alive.sum())
            tokens += int(np.diff(segment.ends, prepend=0)[alive].sum())
        return Size(documents, tokens, columns.size_of(self.folder))

    def gather(self, keys: Keys) -> Ragged:
        """The token vectors of some documents."""
        nothing = torch.empty(0, self.shape.dimension, dtype=torch.float16)
        lists = [nothing] * len(keys)
        for segment, wanted, places in self._found(keys):
            for number, rows in zip(wanted, segment.gather(places), strict=True):
                lists[number] = rows
        return Ragged.of(lists, self.shape.dimension)

    def pooled(self, keys: Keys) -> Float[Tensor, "c p"]:
        """The pooled vectors of some documents."""
        rows = torch.zeros(len(keys), self.shape.pooled, dtype=torch.float16)
        for segment, wanted, places in self._found(keys):
            rows[torch.from_numpy(wanted)] = segment.pooled(places)
        return rows

    def _found(self, keys: Keys) -> Iterator[tuple[Segment, Places, Places]]:
        """Segments, which of the keys are alive there, and at which places."""
        for segment, alive in zip(self._segments, self._alive, strict=True):
            if segment.documents:
                places = np.searchsorted(segment.keys, keys).clip(max=segment.documents - 1)
                here = (segment.keys[places] == keys) & alive[places]
                yield segment, np.flatnonzero(here), places[here]

    def scan(self, among: Keys | None = None, tokens: int = BLOCK) -> Iterator[Scanned]:
        """All documents or some; those of exact segments straight from the maps."""
        for segment, places in self._chosen(among):
            yield from segment.scan(places, tokens)

    def maxsim(self, query: Float[Tensor, "n d"], k: int, among: Keys | None = None) -> Ranking:
        """The best documents by MaxSim; of compressed segments, those that WARP's search finds."""
        self._fits(query)
        chosen = self._chosen(among) if len(query) else iter(())
        found = [segment.rank(query, k, places) for segment, places in chosen]
        return Ranking.joined([(one.keys, one.scores) for one in found], k)

    def _chosen(self, among: Keys | None) -> Iterator[tuple[Segment, Places]]:
        for segment, alive in zip(self._segments, self._alive, strict=True):
            places = np.flatnonzero(alive)
            if among is not None:
                places = _places(segment.keys, among)
                places = places[alive[places]]
            yield segment, places

    def compact(self) -> None:
        """Write what is alive into new segments, then remove the old ones."""
        fresh: list[Segment] = []
        with self._undone(fresh):
            for segment, alive in zip(self._segments, self._alive, strict=True):
                if isinstance(segment, CompressedSegment):
                    fresh.append(self._kept(segment, alive))
                    continue
                for block in segment.scan(np.flatnonzero(alive), 1 << 18):
                    last = fresh[-1] if fresh else None
                    if not isinstance(last, ExactSegment) or last.tokens >= FULL:
                        last = self._fresh()
                        fresh.append(last)
                    last.add(block.keys, block.tokens, self.pooled(block.keys))
            self._replace(fresh)

    def compress(self, bits: int = 4) -> None:
        """Write the exact segments as one of few bits per dimension, then remove them.

        What was compressed before stays as it is, and what is added afterwards is exact until it
        is compressed too. Deleted documents are left out.

        Args:
            bits: Per dimension: 1, 2, 4 or 8.
        """
        exact = [s for s in self._segments if isinstance(s, ExactSegment)]
        pairs = [pair for pair in self._chosen(None) if pair[0] in exact and len(pair[1])]
        if not pairs:
            return
        lengths = [np.diff(s.ends, prepend=0)[places].sum() for s, places in pairs]
        amount = Amount(sum(len(places) for _, places in pairs), int(sum(lengths)))
        if not amount.tokens:
            return

        def source() -> Iterator[Piece]:
            for segment, places in pairs:
                for block in segment.scan(places, 1 << 16):
                    yield block.keys, block.tokens, self.pooled(block.keys)

        name, self._next = f"{self._next:06d}", self._next + 1
        made: list[Segment] = [s for s in self._segments if s not in exact]
        with self._undone(made):
            learn_codec(self.folder / name, source, amount, bits=bits)
            segment = CompressedSegment(
                self.folder / name, self.shape, 0, 0, write=True, room=amount.documents
            )
            made.append(segment)
            segment.fill(source, amount.tokens)
            self._replace(made)

    def _kept(self, segment: CompressedSegment, alive: NDArray[np.bool_]) -> CompressedSegment:
        """A compressed segment without its dead documents; itself where none is dead."""
        if bool(alive.all()):
            return segment
        name, self._next = f"{self._next:06d}", self._next + 1
        return segment.copy_of(self.folder / name, alive)

    @contextmanager
    def _undone(self, fresh: list[Segment]) -> Iterator[None]:
        """New segments are removed again when they cannot be finished."""
        try:
            yield
        except BaseException:
            for segment in fresh:
                if segment not in self._segments:
                    segment.remove()
            raise

    def _replace(self, fresh: list[Segment]) -> None:
        """Name other segments in the manifest, and remove those that it names no more."""
        before, dead_before = self._segments, self._dead
        dead = Column(self.folder / f"dead-{self._next}.i64", "<i8", 1, 0, write=True)
        gone = np.setdiff1d(dead_before.view()[:, 0], self.keys())
        still = np.concatenate([s.keys for s in fresh]) if fresh else gone[:0]
        dead.append(np.intersect1d(gone, still)[:, None])
        for segment in fresh:
            if segment not in before:
                segment.sync()
        self._segments, self._dead, self._next = fresh, dead, self._next + 1
        self._refresh()
        self.commit()
        for segment in before:
            if segment not in fresh:
                segment.remove()
        dead_before.close()
        dead_before.path.unlink(missing_ok=True)

    def _fresh(self) -> ExactSegment:
        """An empty segment with a name that was never used."""
        segment = ExactSegment(self.folder / f"{self._next:06d}", self.shape, 0, 0, write=True)
        self._next += 1
        return segment

    def close(self) -> None:
        """Let go of the files."""
        for segment in self._segments:
            segment.close()
        self._dead.close()


def check_format(path: Path, content: dict[str, Any], newest: int) -> None:
    """Refuse what a newer version wrote.

    Raises:
        StoreError: If the format is newer than `newest`, or not stated.
    """
    found = content.get("format")
    if not isinstance(found, int):
        raise StoreError(f"{path}: states no format; it is damaged, or no index of tokenry.")
    if found > newest:
        raise StoreError(
            f"{path}: has format {found}, this version of tokenry reads up to {newest}; "
            "update tokenry."
        )


def _places(held: Keys, wanted: Keys) -> Places:
    """Where keys stand in an ascending list; those not in it are left out."""
    if not len(held):
        return np.empty(0, np.int64)
    places = np.searchsorted(held, wanted).clip(max=len(held) - 1)
    return np.asarray(places[held[places] == wanted], np.int64)
