"""One engine of `bench/retrieval.py`, in a process of its own: build, search, or change an index.

    python bench/retrieval_engines.py ENGINE STAGE WORK INDEX OUT.json

WORK holds tokens.npy (float16), offsets.npy, queries.npy and query_offsets.npy. A stage of its own
process is what makes the memory of a search visible: a search that maps its index never needs it
all.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIRST, ROUNDS, CHANGES, PATIENCE = 10, 3, 5, 60
Vectors = NDArray[Any]


class Work:
    """The vectors that all engines get."""

    def __init__(self, folder: Path) -> None:
        read = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _FILES}
        self.tokens, self.offsets = read["tokens"], read["offsets"]
        self._queries, self._ends = read["queries"], read["query_offsets"]

    @property
    def documents(self) -> int:
        """How many there are."""
        return len(self.offsets) - 1

    def document(self, number: int) -> Vectors:
        """The vectors of one document."""
        return np.array(self.tokens[self.offsets[number] : self.offsets[number + 1]])

    @property
    def queries(self) -> list[Vectors]:
        """The vectors of each query, float32."""
        pairs = zip(self._ends[:-1], self._ends[1:], strict=True)
        return [np.array(self._queries[a:b], np.float32) for a, b in pairs]


_FILES = ("tokens", "offsets", "queries", "query_offsets")


class Segments:
    """Our own store: exact, or compressed to some bits."""

    def __init__(self, folder: Path, bits: int = 0, write: bool = False) -> None:
        from tokenry.index.store import Shape
        from tokenry.index.stores import open_store

        self.folder, self.bits = folder, bits
        self.store: Any = open_store("segments", folder, Shape(128), write=write)

    def build(self, work: Work) -> None:
        """Make the index of all documents."""
        import torch

        from tokenry.ops.ragged import Ragged

        for start in range(0, work.documents, 512):
            keys = np.arange(start, min(start + 512, work.documents))
            rows = [torch.from_numpy(work.document(i)) for i in keys]
            self.store.add(keys + 1, Ragged.of(rows))
        self.store.commit()
        if self.bits:
            self.store.compress(self.bits)

    def search(self, query: Vectors) -> list[int]:
        """The best documents by their numbers."""
        import torch

        found = self.store.maxsim(torch.from_numpy(query), FIRST)
        return [int(key) - 1 for key in found.keys]

    def add(self, number: int, vectors: Vectors) -> None:
        """Add one document, committed."""
        import torch

        from tokenry.ops.ragged import Ragged

        self.store.add(np.array([number + 1]), Ragged.of([torch.from_numpy(vectors)]))
        self.store.commit()

    def delete(self, number: int) -> None:
        """Take one document out, committed."""
        self.store.delete(np.array([number + 1]))
        self.store.commit()

    def ready(self) -> None:
        """Search a few tokens elsewhere: loops that are loaded are not what this index takes."""
        with tempfile.TemporaryDirectory() as folder:
            small = Segments(Path(folder) / "small", self.bits, write=True)
            small.add(0, np.eye(128, dtype=np.float16))
            if self.bits:
                small.store.compress(self.bits)
            small.search(np.eye(128, dtype=np.float32)[:8])


class Lance:
    """LanceDB's multivector column: an exact scan, or its IVF_PQ over tokens."""

    def __init__(self, folder: Path, ivf: bool = False, write: bool = False) -> None:
        import lancedb

        self.base, self.ivf = lancedb.connect(folder), ivf
        self.table = None if write else self.base.open_table("t")

    def build(self, work: Work) -> None:
        """Make the index of all documents."""
        import pyarrow as pa

        kind = pa.list_(pa.list_(pa.float16(), 128))
        schema = pa.schema([("id", pa.int64()), ("vector", kind)])

        def batches() -> Any:
            for start in range(0, work.documents, 256):
                numbers = range(start, min(start + 256, work.documents))
                yield self._rows(list(numbers), [work.document(i) for i in numbers], schema)

        self.table = self.base.create_table("t", batches(), schema=schema)
        if self.ivf:
            cells = max(1, round(len(work.tokens) ** 0.5 / 6))
            self.table.create_index(
                metric="cosine", index_type="IVF_PQ", num_partitions=cells, num_sub_vectors=32
            )

    @staticmethod
    def _rows(numbers: list[int], documents: list[Vectors], schema: Any) -> Any:
        import pyarrow as pa

        flat = pa.array(np.concatenate(documents).reshape(-1).astype(np.float16))
        rows = pa.FixedSizeListArray.from_arrays(flat, 128)
        ends = np.cumsum([0, *map(len, documents)]).astype(np.int32)
        vectors = pa.ListArray.from_arrays(pa.array(ends), rows).cast(schema.field("vector").type)
        return pa.record_batch([pa.array(numbers, pa.int64()), vectors], schema=schema)

    def search(self, query: Vectors) -> list[int]:
        """The best documents by their numbers."""
        asked = self.table.search(query).distance_type("cosine").select(["id"]).limit(FIRST)
        asked = asked.nprobes(16) if self.ivf else asked
        return [row["id"] for row in asked.to_list()]

    def add(self, number: int, vectors: Vectors) -> None:
        """Add one document, committed."""
        self.table.add(self._rows([number], [vectors], self.table.schema))

    def delete(self, number: int) -> None:
        """Take one document out, committed."""
        self.table.delete(f"id = {number}")


class Usearch:
    """usearch over single tokens in int8, documents by XTR's scores from 100 hits a token."""

    def __init__(self, folder: Path, write: bool = False) -> None:
        from usearch.index import Index

        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.owners_path = folder / "tokens.usearch", folder / "owners.npy"
        self.index: Any = Index(ndim=128, metric="ip", dtype="i8", connectivity=8)
        if not write:
            self.index.view(str(self.path))
            self.owners = np.load(self.owners_path, mmap_mode="r")

    def build(self, work: Work) -> None:
        """Make the index of all documents."""
        lengths = np.diff(work.offsets)
        self.owners = np.repeat(np.arange(work.documents), lengths)
        for start in range(0, len(work.tokens), 1 << 17):
            part = np.array(work.tokens[start : start + (1 << 17)], np.float32)
            self.index.add(np.arange(start, start + len(part)), part)
        self.index.save(str(self.path))
        np.save(self.owners_path, self.owners)

    def search(self, query: Vectors) -> list[int]:
        """The best documents by their numbers."""
        import torch

        from tokenry.ops.late import xtr_scores

        found = self.index.search(query, 100)
        keys, near = np.atleast_2d(found.keys), 1 - np.atleast_2d(found.distances)
        whose = torch.from_numpy(np.array(self.owners[keys.astype(np.int64)]))
        documents, scores = xtr_scores(whose, torch.from_numpy(near.astype(np.float32)))
        best = scores.topk(min(FIRST, len(scores))).indices
        return [int(documents[i]) for i in best]


class Brute:
    """sentence-transformers' maxsim over padded documents in memory."""

    def __init__(self, folder: Path, write: bool = False) -> None:
        self.folder = folder

    def build(self, work: Work) -> None:
        """Make the index of all documents."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("tokens", "offsets"):
            np.save(self.folder / f"{name}.npy", getattr(work, name))

    def search(self, query: Vectors) -> list[int]:
        """The best documents by their numbers."""
        import torch
        from sentence_transformers.util import maxsim

        if not hasattr(self, "documents"):
            tokens = torch.from_numpy(np.load(self.folder / "tokens.npy"))
            ends = np.load(self.folder / "offsets.npy")
            self.documents = list(tokens.float().split(np.diff(ends).tolist()))
        scores = maxsim([torch.from_numpy(query)], self.documents)[0]
        return [int(i) for i in scores.topk(FIRST).indices]


class Qdrant:
    """Qdrant's client in local mode, multivectors with MaxSim."""

    def __init__(self, folder: Path, write: bool = False) -> None:
        from qdrant_client import QdrantClient

        self.client = QdrantClient(path=str(folder))

    def build(self, work: Work) -> None:
        """Make the index of all documents."""
        from qdrant_client import models

        self.client.create_collection(
            "t",
            vectors_config=models.VectorParams(
                size=128,
                distance=models.Distance.DOT,
                datatype=models.Datatype.FLOAT16,
                multivector_config=models.MultiVectorConfig(
                    comparator=models.MultiVectorComparator.MAX_SIM
                ),
            ),
        )
        for number in range(work.documents):
            self.add(number, work.document(number))

    def search(self, query: Vectors) -> list[int]:
        """The best documents by their numbers."""
        found = self.client.query_points("t", query=query.tolist(), limit=FIRST)
        return [int(point.id) for point in found.points]

    def add(self, number: int, vectors: Vectors) -> None:
        """Add one document, committed."""
        from qdrant_client import models

        point = models.PointStruct(id=number, vector=vectors.astype(np.float32).tolist())
        self.client.upsert("t", [point])

    def delete(self, number: int) -> None:
        """Take one document out, committed."""
        self.client.delete("t", points_selector=[number])


ENGINES: dict[str, Callable[..., Any]] = {
    "segments exact": Segments,
    "segments 4 bits": lambda folder, write=False: Segments(folder, 4, write),
    "segments 2 bits": lambda folder, write=False: Segments(folder, 2, write),
    "lancedb exact": Lance,
    "lancedb ivf_pq": lambda folder, write=False: Lance(folder, True, write),
    "usearch int8 + xtr": Usearch,
    "sentence-transformers": Brute,
    "qdrant local": Qdrant,
}


def memory_mb(which: str) -> float:
    """Memory of this process, VmRSS now or VmHWM at most; getrusage counts the parent's too."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return round(next(int(x.split()[1]) for x in lines if x.startswith(which)) / 1024, 1)


def searched(engine: Any, queries: list[Vectors]) -> dict[str, Any]:
    """What each query finds, and the seconds of each; the best of some rounds, after a warm-up.

    Where a round lasts longer than `PATIENCE`, it is the only one.
    """
    if hasattr(engine, "ready"):
        engine.ready()
    opened = memory_mb("VmHWM")
    engine.search(queries[0])
    found, spent = [], np.full(len(queries), np.inf)
    for done in range(ROUNDS):
        if done and np.sum(spent) > PATIENCE:
            break
        found = []
        for i, query in enumerate(queries):
            start = time.perf_counter()
            found.append(engine.search(query))
            spent[i] = min(spent[i], time.perf_counter() - start)
    return {
        "found": found,
        "seconds": spent.tolist(),
        "peak_rss_mb": memory_mb("VmHWM"),
        "opened_rss_mb": opened,
    }


def changed(engine: Any, work: Work) -> dict[str, Any]:
    """Milliseconds to add and to delete one document, committed; medians."""
    if not hasattr(engine, "add"):
        return {}
    vectors, spent = work.document(0), {"add_ms": [], "delete_ms": []}
    for i in range(CHANGES):
        number = work.documents + i
        for name, act in (("add_ms", lambda n=number: engine.add(n, vectors)),
                          ("delete_ms", lambda n=number: engine.delete(n))):  # fmt: skip
            start = time.perf_counter()
            act()
            spent[name].append(1e3 * (time.perf_counter() - start))
    return {name: round(float(np.median(values)), 2) for name, values in spent.items()}


def main() -> None:
    """Run one stage of one engine."""
    name, stage, work, folder, out = sys.argv[1], sys.argv[2], *map(Path, sys.argv[3:])
    given, make = Work(work), ENGINES[name]
    if stage == "build":
        shutil.rmtree(folder, ignore_errors=True)
        engine = make(folder, write=True)  # imports are not building
        start = time.perf_counter()
        engine.build(given)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        result = {"build_seconds": round(time.perf_counter() - start, 2), "bytes": size}
    elif stage == "search":
        engine = make(folder)
        result = searched(engine, given.queries)
    else:
        copy = folder.with_name(f"{folder.name}-changed")
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        writes = isinstance(make(copy), Segments)
        result = changed(make(copy, write=True) if writes else make(copy), given)
        shutil.rmtree(copy, ignore_errors=True)
    out.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
