"""Token vectors in a LanceDB table: a folder of Arrow files, or a bucket of an object store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tokenry.errors import MissingExtraError, StoreError, TokenryError, UsageError
from tokenry.index import columns
from tokenry.index.elsewhere import claim
from tokenry.index.store import Keys, Ranking, Scanned, Shape, Size, TokenStore
from tokenry.ops.ragged import Ragged, offsets

TABLE = "tokens"
ENOUGH = 4096
"""Token vectors below which nothing is gained by an approximate index, and none is made."""


class LanceStore(TokenStore):
    """Token vectors in float16 as a multivector column; exact unless an index is asked for.

    A bucket's keys, region and endpoint come from the environment (`AWS_ACCESS_KEY_ID`,
    `AWS_ENDPOINT` and so on), never from the index.

    Args:
        folder: Where the table lies; where `at` is given, it remembers that.
        shape: Lengths of the vectors.
        write: Whether anything will be changed.
        at: Address of a folder in an object store, as `s3://bucket/folder`.
        ann: Whether `compact` makes an IVF_PQ index over the tokens, by which `maxsim` chooses
            the documents that it scores exactly. The vectors must have length one.
        probes: Partitions of that index that are looked at.
        refine: For each document wanted, so many are scored exactly.
        grace: Seconds for which `compact` leaves old versions to processes that still read them.

    Raises:
        MissingExtraError: If LanceDB is not installed.
        StoreError: If the table cannot be opened.
        UsageError: If it holds vectors of other lengths, or a setting makes no sense.
    """

    def __init__(
        self,
        folder: Path,
        shape: Shape,
        *,
        write: bool,
        at: str = "",
        ann: bool = False,
        probes: int = 20,
        refine: int = 8,
        grace: int = 0,
    ) -> None:
        super().__init__(folder, shape, write=write)
        if probes < 1 or refine < 1 or grace < 0:
            raise UsageError(
                f"lance: probes={probes}, refine={refine}, grace={grace}; probes and refine are "
                "1 or more, grace is no less than 0."
            )
        try:
            import lancedb
        except ImportError as error:
            raise MissingExtraError(
                "a store in LanceDB", 'pip install "tokenry[retrieval]"'
            ) from error
        self.at, self.exact = at or str(folder), not ann
        self._probes, self._refine, self._grace = probes, refine, grace
        self._local = "://" not in self.at
        self._synced = set(folder.rglob("*")) if self._local else set()
        with self._explained():
            self._open(lancedb.connect(self.at))
        self._check()
        self._refresh()

    def _open(self, base: Any) -> None:
        there = TABLE in base.list_tables().tables
        if not (there or self.write):
            raise StoreError(f"{self.at}: holds no table {TABLE!r}; build the index first.")
        if self.write and not self._local:
            claim(self.folder, self.at, taken=there)
        if there:
            self._table = base.open_table(TABLE)
        else:
            self._table = base.create_table(TABLE, schema=_schema(self.shape))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say whose error it is that LanceDB raised."""
        try:
            yield
        except TokenryError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            raise StoreError(
                f"{self.at}: LanceDB cannot read or write it: {error}. If another process has "
                "compacted the index, open it again."
            ) from error

    def _check(self) -> None:
        schema = self._table.schema
        there = schema.field("pooled").type.list_size if "pooled" in schema.names else 0
        held = Shape(schema.field("tokens").type.value_type.list_size, there)
        self.shape.agree(held, f"{self.at}:")

    def _refresh(self) -> None:
        """Which documents are there, and in which rows."""
        with self._explained():
            found = self._table.search().select(["key"]).with_row_id(True).to_arrow()
        keys, rows = found["key"].to_numpy(), found["_rowid"].to_numpy()
        order = np.argsort(keys, kind="stable")
        self._keys, self._rows = keys[order].astype(np.int64), rows[order]

    def add(self, keys: Keys, tokens: Ragged, pooled: Float[Tensor, "c p"] | None = None) -> None:
        """Append documents as a version of the table."""
        if not len(keys):
            return
        with self._explained():
            self._table.add(_table(keys, tokens, pooled, self.shape))
        self._keys = np.concatenate([self._keys, keys])

    def delete(self, keys: Keys) -> None:
        """Take documents out as a version of the table."""
        there = np.intersect1d(keys, self._keys)
        if len(there):
            with self._explained():
                self._table.delete(_among(there))
            kept = ~np.isin(self._keys, there)
            self._rows = self._rows[kept[: len(self._rows)]]
            self._keys = self._keys[kept]

    def commit(self) -> None:
        """Wait for the files; each change was a version of the table already."""
        if not self._local:
            return
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path.is_dir() or path not in self._synced:  # LanceDB never changes a file
                columns.sync_folder(path)
                self._synced.add(path)

    def keys(self) -> Keys:
        """The documents that are there."""
        found: Keys = self._keys
        return found

    def size(self) -> Size:
        """How much is there; of a bucket nobody knows the bytes."""
        import pyarrow.compute as pc

        with self._explained():
            parts = self._table.search().select(["tokens"]).to_batches()
            tokens = sum(
                pc.sum(pc.list_value_length(part["tokens"])).as_py() or 0 for part in parts
            )
        return Size(len(self._keys), tokens, columns.size_of(self.folder) if self._local else 0)

    def _take(self, keys: Keys, column: str) -> tuple[Any, Keys, Keys]:
        """Rows of a table, which of the keys they are, and at which places."""
        if len(self._rows) != len(self._keys):
            self._refresh()
        places = np.searchsorted(self._keys, keys).clip(max=max(0, len(self._keys) - 1))
        wanted = np.flatnonzero(self._keys[places] == keys) if len(self._keys) else places[:0]
        rows = self._rows[places[wanted]]
        with self._explained():
            query = self._table.take_row_ids(np.unique(rows).tolist())
            found = query.select(["key", column]).to_arrow().combine_chunks()
        held = found["key"].to_numpy()
        order = np.argsort(held)
        return found[column], wanted, order[np.searchsorted(held, keys[wanted], sorter=order)]

    def gather(self, keys: Keys) -> Ragged:
        """The token vectors of some documents."""
        lists = [torch.empty(0, self.shape.dimension, dtype=torch.float16)] * len(keys)
        if len(keys) and len(self._keys):
            column, wanted, places = self._take(keys, "tokens")
            chosen = _ragged(column, self.shape).take(places.tolist())
            for number, rows in zip(wanted, chosen, strict=True):
                lists[number] = rows
        return Ragged.of(lists, self.shape.dimension)

    def pooled(self, keys: Keys) -> Float[Tensor, "c p"]:
        """The pooled vectors of some documents."""
        vectors = torch.zeros(len(keys), self.shape.pooled, dtype=torch.float16)
        if self.shape.pooled and len(keys) and len(self._keys):
            column, wanted, places = self._take(keys, "pooled")
            vectors[wanted] = _vectors(column.combine_chunks(), self.shape.pooled)[places]
        return vectors

    def scan(self, among: Keys | None = None, tokens: int = 1 << 14) -> Iterator[Scanned]:
        """All documents or some, as the table's own batches."""
        if among is not None:
            yield from super().scan(among, tokens)
            return
        with self._explained():
            found = self._table.search().select(["key", "tokens"]).to_batches(max(1, tokens // 128))
            for batch in found:
                keys = batch["key"].to_numpy(zero_copy_only=False).astype(np.int64)
                yield Scanned(keys, _ragged(batch["tokens"], self.shape))

    def maxsim(self, query: Float[Tensor, "n d"], k: int, among: Keys | None = None) -> Ranking:
        """Exact over all tokens; with an index, exact over the documents that it proposes."""
        self._fits(query)
        wanted = k * self._refine
        few = among is not None and len(among) <= wanted
        if self.exact or few or not len(query) or not self._table.list_indices():
            return super().maxsim(query, k, among)
        with self._explained():
            asked = self._table.search(query.half().numpy(), vector_column_name="tokens")
            asked = asked.distance_type("cosine").nprobes(self._probes).limit(wanted)
            if among is not None:
                asked = asked.where(_among(among), prefilter=True)
            found = asked.select(["key", "_distance"]).to_arrow()["key"].to_numpy()
        return super().maxsim(query, k, np.unique(found).astype(np.int64))

    def compact(self) -> None:
        """Join the files, make the index if one is asked for, and remove old versions."""
        with self._explained():
            if not self.exact and self.size().tokens >= ENOUGH:
                from lancedb.index import IvfPq

                parts = max(1, self.shape.dimension // 4)
                while self.shape.dimension % parts:
                    parts -= 1
                config = IvfPq(distance_type="cosine", num_sub_vectors=parts)
                self._table.create_index("tokens", config=config)
            grace = timedelta(seconds=self._grace, milliseconds=1)
            for _ in range(2):  # the first may count the version it replaced as too young
                self._table.optimize(cleanup_older_than=grace)
        self._refresh()
        self.commit()


def _schema(shape: Shape) -> Any:
    import pyarrow as pa

    fields = [
        ("key", pa.int64()),
        ("tokens", pa.list_(pa.list_(pa.float16(), shape.dimension))),
    ]
    if shape.pooled:
        fields.append(("pooled", pa.list_(pa.float16(), shape.pooled)))
    return pa.schema(fields)


def _table(keys: Keys, tokens: Ragged, pooled: Tensor | None, shape: Shape) -> Any:
    """Documents as an Arrow table."""
    import pyarrow as pa

    def rows(values: Tensor, width: int) -> Any:
        flat = pa.array(values.half().contiguous().view(-1).numpy())
        return pa.FixedSizeListArray.from_arrays(flat, width)

    ends = pa.array(tokens.offsets.to(torch.int32).numpy())
    parts = [
        pa.array(keys, pa.int64()),
        pa.ListArray.from_arrays(ends, rows(tokens.values, shape.dimension)),
    ]
    if shape.pooled:
        given = torch.zeros(len(keys), shape.pooled) if pooled is None else pooled
        parts.append(rows(given, shape.pooled))
    return pa.table(parts, schema=_schema(shape))


def _ragged(column: Any, shape: Shape) -> Ragged:
    """A column of lists of vectors."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    lengths = pc.list_value_length(whole).to_pylist()
    return Ragged(_vectors(whole.flatten(), shape.dimension), offsets(lengths))


def _vectors(column: Any, width: int) -> Float[Tensor, "n d"]:
    """A column of vectors; a copy, for Arrow's own memory is read-only."""
    return torch.from_numpy(column.flatten().to_numpy(zero_copy_only=False).copy()).view(-1, width)


def _among(keys: Keys) -> str:
    return f"key IN ({', '.join(str(int(key)) for key in keys)})"
