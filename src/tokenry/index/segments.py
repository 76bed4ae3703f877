"""The store of our own: append-only segments in memory-mapped files, and a manifest.

What the manifest names is there; it is replaced whole, after the files that it names are on the
disk. A deleted document stays in its segment, and its key in a list of dead ones, until the store
is compacted.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tokenry.errors import StoreError, UsageError
from tokenry.index import columns
from tokenry.index.columns import Column
from tokenry.index.segment import Places, Segment
from tokenry.index.store import Keys, Scanned, Shape, Size, TokenStore
from tokenry.ops.ragged import Ragged

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

    Raises:
        StoreError: If the folder cannot be read or written, is damaged, or was written by a newer
            version.
    """

    def __init__(self, folder: Path, shape: Shape, *, write: bool) -> None:
        super().__init__(folder, shape, write=write)
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
            self._open(columns.read(folder / MANIFEST))
        self._refresh()

    def _open(self, manifest: dict[str, Any]) -> None:
        check_format(self.folder / MANIFEST, manifest, FORMAT)
        held = Shape(manifest["dimension"], manifest["pooled"])
        if held != self.shape:
            raise UsageError(
                f"{self.folder}: holds vectors of {held.dimension} dimensions (pooled: "
                f"{held.pooled}), not {self.shape.dimension} (pooled: {self.shape.pooled})."
            )
        self._next = manifest["next"]
        dead = self.folder / manifest["dead"]["name"]
        self._dead = Column(dead, "<i8", 1, manifest["dead"]["count"], write=self.write)
        self._segments = [self._segment(**entry) for entry in manifest["segments"]]
        if self.write:
            self._sweep()

    def _segment(self, name: str, kind: str, documents: int, tokens: int) -> Segment:
        if kind != Segment.kind:
            raise StoreError(f"{self.folder}: segments of kind {kind!r} are unknown here.")
        return Segment(self.folder / name, self.shape, documents, tokens, write=self.write)

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
        if last is None or last.tokens >= FULL:
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

    def scan(self, among: Keys | None = None, tokens: int = 1 << 14) -> Iterator[Scanned]:
        """All documents or some, straight from the maps."""
        for segment, alive in zip(self._segments, self._alive, strict=True):
            places = np.flatnonzero(alive)
            if among is not None:
                places = _places(segment.keys, among)
                places = places[alive[places]]
            for part in segment.blocks(places, tokens):
                yield Scanned(segment.keys[part], segment.gather(part))

    def compact(self) -> None:
        """Write what is alive into new segments, then remove the old ones."""
        fresh: list[Segment] = []
        try:
            for block in self.scan(tokens=1 << 18):
                if not fresh or fresh[-1].tokens >= FULL:
                    fresh.append(self._fresh())
                fresh[-1].add(block.keys, block.tokens, self.pooled(block.keys))
            dead = Column(self.folder / f"dead-{self._next}.i64", "<i8", 1, 0, write=True)
        except StoreError:
            for segment in fresh:
                segment.remove()
            raise
        old, dead_before = self._segments, self._dead
        self._segments, self._dead, self._dirty = fresh, dead, list(fresh)
        self._refresh()
        self.commit()
        for segment in old:
            segment.remove()
        dead_before.close()
        dead_before.path.unlink(missing_ok=True)

    def _fresh(self) -> Segment:
        """An empty segment with a name that was never used."""
        segment = Segment(self.folder / f"{self._next:06d}", self.shape, 0, 0, write=True)
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
