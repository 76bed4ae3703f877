"""Exact segments, and beside them a graph over all tokens that answers in milliseconds.

The graph is made from the segments and lies in one memory-mapped file. A document that came after
it is looked at token by token until `compact`, or a commit that finds many such documents, makes
the graph anew; so adding one document never waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tokenry.errors import MissingExtraError, StoreError, UsageError
from tokenry.index import columns
from tokenry.index.segments import SegmentStore, check_format
from tokenry.index.store import Keys, Ranking, Scanned, Shape, Size, TokenHits, TokenStore
from tokenry.ops.ragged import Ragged

FORMAT = 1
MANIFEST = "graph.json"
PLACES = 20
"""Bits of a token's number within its document; the bits above are the document's key."""

TAIL = 1 << 16
"""Tokens outside the graph that a commit puts up with, or an eighth of those in it."""

SPREAD = 4
"""So many times more tokens are fetched where deleted documents are still in the graph."""


class GraphStore(TokenStore):
    """Token vectors in segments, found by an int8 graph of usearch.

    `hits` are the graph's, and their similarities have its precision; `maxsim` scores exactly, but
    only the documents that own a hit. The vectors must have length one.

    Args:
        folder: Where it lies.
        shape: Lengths of the vectors.
        write: Whether anything will be changed.
        near: Tokens that each query token fetches for `maxsim`.
        effort: Candidates of the graph's search; more finds more and takes longer.

    Raises:
        MissingExtraError: If usearch is not installed.
        StoreError: If the folder cannot be read or written, or is damaged.
        UsageError: If a setting makes no sense.
    """

    exact = False

    def __init__(
        self, folder: Path, shape: Shape, *, write: bool, near: int = 200, effort: int = 200
    ) -> None:
        super().__init__(folder, shape, write=write)
        if near < 1 or effort < 1:
            raise UsageError(f"graph: near={near}, effort={effort}; both are 1 or more.")
        _usearch()
        self._near, self._effort = near, effort
        self._segments = SegmentStore(folder / "segments", shape, write=write)
        try:
            self._open()
        except BaseException:
            self._segments.close()
            raise

    def _open(self) -> None:
        """Read the graph that the manifest names, if there is one."""
        path = self.folder / MANIFEST
        if path.is_file():
            columns.follow(path, self._take)
        else:
            self._take({"format": FORMAT, "last": 0, "documents": 0, "tokens": 0, "number": 0})

    def _take(self, held: dict[str, Any]) -> None:
        """Open the graph that a manifest names."""
        check_format(self.folder / MANIFEST, held, FORMAT)
        self._last, self._documents = held["last"], held["documents"]
        self._inside, self._number = held["tokens"], held["number"]
        self._outside = max(0, self._segments.size().tokens - self._inside)
        self._graph = self._restored(view=True) if self._inside else None

    def _restored(self, view: bool) -> Any:
        path = self._file(self._number)
        graph = _usearch().restore(str(path), view=view) if path.is_file() else None
        if graph is None or len(graph) != self._inside:
            raise StoreError(
                f"{path}: is not there, or damaged; remove it and {MANIFEST}, and compact the "
                "index to make it again."
            )
        graph.expansion_search = self._effort
        return graph

    def _file(self, number: int) -> Path:
        return self.folder / f"graph-{number}.usearch"

    def add(self, keys: Keys, tokens: Ragged, pooled: Float[Tensor, "c p"] | None = None) -> None:
        """Append documents to the segments."""
        self._segments.add(keys, tokens, pooled)
        self._outside += len(tokens.values)

    def delete(self, keys: Keys) -> None:
        """Take documents out of the segments; the graph forgets them when it is made anew."""
        self._segments.delete(keys)

    def commit(self) -> None:
        """Commit the segments; take into the graph what lies outside when it is too much."""
        self._segments.commit()
        if self._outside > max(TAIL, self._inside // 8):
            self._build(fresh=self._graph is None)

    def keys(self) -> Keys:
        """The documents that are there."""
        return self._segments.keys()

    def size(self) -> Size:
        """How much is there, and what both parts take."""
        held = self._segments.size()
        return Size(held.documents, held.tokens, columns.size_of(self.folder))

    def gather(self, keys: Keys) -> Ragged:
        """The token vectors of some documents."""
        return self._segments.gather(keys)

    def pooled(self, keys: Keys) -> Float[Tensor, "c p"]:
        """The pooled vectors of some documents."""
        return self._segments.pooled(keys)

    def scan(self, among: Keys | None = None, tokens: int = 1 << 14) -> Iterator[Scanned]:
        """All documents or some, from the segments."""
        return self._segments.scan(among, tokens)

    def maxsim(self, query: Float[Tensor, "n d"], k: int, among: Keys | None = None) -> Ranking:
        """Exact over the documents that own a hit, or over those named."""
        self._fits(query)
        if self._graph is None or among is not None or not len(query):
            return super().maxsim(query, k, among)
        owners = np.unique(self.hits(query, self._near).keys)
        return super().maxsim(query, k, owners[owners >= 0])

    def hits(self, query: Float[Tensor, "n d"], k: int, among: Keys | None = None) -> TokenHits:
        """The nearest tokens by the graph, and by looking at all that lie outside it."""
        self._fits(query)
        if self._graph is None or among is not None or not len(query):
            return super().hits(query, k, among)
        alive = self.keys()
        inside = self._found(query, k, alive)
        tail = super().hits(query, k, alive[alive > self._last])
        keys = np.concatenate([inside.keys, tail.keys], 1)
        near = np.concatenate([inside.similarities, tail.similarities], 1)
        order = np.argsort(-near, axis=1, kind="stable")[:, :k]
        return TokenHits(np.take_along_axis(keys, order, 1), np.take_along_axis(near, order, 1))

    def _found(self, query: Tensor, k: int, alive: Keys) -> TokenHits:
        """Hits of the graph; those of deleted documents stand last, as none."""
        gone = self._documents > int(np.searchsorted(alive, self._last, "right"))
        count = min(self._inside, k * SPREAD if gone else k)
        graph: Any = self._graph
        found = graph.search(query.float().numpy(), count)
        keys = np.atleast_2d(found.keys).astype(np.int64) >> PLACES
        lengths = query.float().norm(dim=1, keepdim=True).numpy()
        near = (1 - np.atleast_2d(found.distances)).astype(np.float32) * lengths
        places = np.searchsorted(alive, keys).clip(max=max(0, len(alive) - 1))
        dead = alive[places] != keys if len(alive) else np.ones_like(keys, bool)
        keys[dead], near[dead] = -1, np.nan
        order = np.argsort(-near, axis=1, kind="stable")[:, :k]
        return TokenHits(np.take_along_axis(keys, order, 1), np.take_along_axis(near, order, 1))

    def compact(self) -> None:
        """Give back the space of deleted documents, and make the graph anew."""
        self._segments.compact()
        self._build(fresh=True)

    def _build(self, fresh: bool) -> None:
        """Make a graph of all tokens, or add to the one there, and name it in the manifest."""
        if fresh:
            graph = _usearch()(
                ndim=self.shape.dimension, metric="cos", dtype="i8", enable_key_lookups=False
            )
            last = documents = 0
        else:
            graph = self._restored(view=False)
            last, documents = self._last, self._documents
        alive = self.keys()
        for block in self.scan(alive[alive > last], tokens=1 << 16):
            graph.add(_names(block), block.tokens.values.float().numpy())
            last, documents = int(block.keys[-1]), documents + len(block.keys)
        after = self._file(self._number + 1)
        if len(graph):
            _save(graph, after)
        content = {"last": last, "documents": documents, "tokens": len(graph)}
        more = {"format": FORMAT, "number": self._number + 1}
        columns.replace(self.folder / MANIFEST, {**content, **more})
        self._graph = None
        for path in set(self.folder.glob("graph-*.usearch")) - {after}:
            path.unlink(missing_ok=True)
        self._open()

    def close(self) -> None:
        """Let go of the files."""
        self._graph = None
        self._segments.close()


def _save(graph: Any, path: Path) -> None:
    try:
        graph.save(str(path))
    except RuntimeError as error:  # usearch has no other
        raise StoreError(
            f"{path}: cannot be written: {error}. Make room; the vectors are safe, and `compact` "
            "makes the graph again."
        ) from error
    columns.sync_folder(path)


def _names(block: Scanned) -> np.ndarray:
    """Document and place of each token as one number."""
    owners = torch.from_numpy(block.keys)[block.tokens.owners]
    places = torch.arange(len(owners)) - block.tokens.offsets[:-1][block.tokens.owners]
    return ((owners << PLACES) | places).numpy().astype(np.uint64)


def _usearch() -> Any:
    try:
        from usearch.index import Index
    except ImportError as error:
        raise MissingExtraError(
            "a store with a graph over tokens", 'pip install "tokenry[retrieval]"'
        ) from error
    return Index
