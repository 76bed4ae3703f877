"""Token vectors on a Qdrant server: sharded and replicated, for what no longer fits one machine.

A graph over single tokens does not serve the sum of maxima, so the tokens get none. The server
takes the documents whose mean token vector is nearest to the sum of the query's, or those that
the index chose by words or pooled vectors, and scores them exactly.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tokenry.errors import MissingExtraError, StoreError, TokenryError, UsageError
from tokenry.index.elsewhere import claim, remembered
from tokenry.index.store import Keys, Ranking, Shape, Size, TokenStore
from tokenry.ops.ragged import Ragged

START = "docker run -p 127.0.0.1:6333:6333 -v qdrant:/qdrant/storage qdrant/qdrant"
NUMBERS = 1 << 20
"""A server refuses as many numbers in one multivector.

A request holds about as many, of some ten letters each; no server refuses less than 32 MiB.
"""

MEMORY = ":memory:"


class QdrantStore(TokenStore):
    """Token vectors as a multivector of each point; the point's id is the document's key.

    `QDRANT_API_KEY` of the environment is sent only to the address in `QDRANT_URL`, so that an
    index that somebody gives you cannot ask for your key.

    Args:
        folder: Remembers the collection's name.
        shape: Lengths of the vectors.
        write: Whether anything will be changed.
        at: The server's address, such as `http://localhost:6333`; that of `QDRANT_URL` when not
            given. `:memory:` keeps everything in this process and forgets it at its end.
        collection: Name of the collection on the server; one that no other index has when not
            given.
        candidates: Documents that `maxsim` scores where nobody chose them; 0 for all.
        client: A client that is there already, in the place of `at`.

    Raises:
        MissingExtraError: If qdrant-client is not installed.
        StoreError: If the server cannot be reached, or has no such collection.
        UsageError: If its vectors have other lengths, or a setting makes no sense.
    """

    def __init__(
        self,
        folder: Path,
        shape: Shape,
        *,
        write: bool,
        at: str = "",
        collection: str = "",
        candidates: int = 1000,
        client: Any = None,
    ) -> None:
        super().__init__(folder, shape, write=write)
        self.longest = (NUMBERS - 1) // shape.dimension
        if candidates < 0:
            raise UsageError(f"qdrant: candidates={candidates} is negative; 0 is all documents.")
        self.at = at or os.environ.get("QDRANT_URL", "")
        self._collection = collection or remembered(folder) or f"tokenry-{uuid4().hex}"
        self._candidates, self.exact, self._mine = candidates, candidates == 0, client is None
        self._client = _connect(self.at) if client is None else client
        self._open()
        self._refresh()

    def _open(self) -> None:
        name = self._collection
        with self._explained():
            there = self._client.collection_exists(name)
        if not (there or self.write):
            raise StoreError(f"{self.at}: has no collection {name!r}; build the index first.")
        if self.write:
            claim(self.folder, name, taken=there)
        with self._explained():
            if there:
                self._check()
            else:
                self._client.create_collection(name, vectors_config=_vectors(self.shape))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say whose error it is that the client raised."""
        from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

        try:
            yield
        except TokenryError:
            raise
        except UnexpectedResponse as error:
            raise StoreError(f"{self.at}: Qdrant refuses what it was sent: {error}") from error
        except (ApiException, OSError, ValueError) as error:
            raise StoreError(
                f"{self.at}: Qdrant does not answer: {error}. See that the server runs, "
                f"for example with: {START}"
            ) from error

    def _check(self) -> None:
        made = self._client.get_collection(self._collection).config.params.vectors
        if not isinstance(made, dict) or "tokens" not in made:
            raise UsageError(
                f"{self.at}: the collection {self._collection!r} is not tokenry's; name another."
            )
        held = Shape(made["tokens"].size, made["pooled"].size if "pooled" in made else 0)
        self.shape.agree(held, f"{self.at}: the collection {self._collection!r}")

    def _refresh(self) -> None:
        """Which documents are there, and how many tokens they have."""
        found: list[tuple[int, int]] = []
        start = None
        while not found or start is not None:
            with self._explained():
                points, start = self._client.scroll(
                    self._collection, limit=10_000, offset=start, with_payload=["tokens"]
                )
            found += [(point.id, point.payload["tokens"]) for point in points]
            if not points:
                break
        pairs = np.array(sorted(found), np.int64).reshape(-1, 2)
        self._keys, self._counts = pairs[:, 0].copy(), pairs[:, 1].copy()

    def add(self, keys: Keys, tokens: Ragged, pooled: Float[Tensor, "c p"] | None = None) -> None:
        """Send documents, and wait until the server has them."""
        if not len(keys):
            return
        for start, stop in tokens.chunks(NUMBERS // self.shape.dimension):
            points = [
                _point(int(keys[i]), tokens[i], None if pooled is None else pooled[i])
                for i in range(start, stop)
            ]
            with self._explained():
                self._client.upsert(self._collection, points, wait=True)
        self._keys = np.concatenate([self._keys, keys])
        self._counts = np.concatenate([self._counts, tokens.lengths.numpy()])

    def delete(self, keys: Keys) -> None:
        """Take documents out, and wait until they are."""
        from qdrant_client.models import PointIdsList

        there = np.intersect1d(keys, self._keys)
        if len(there):
            with self._explained():
                chosen = PointIdsList(points=there.tolist())
                self._client.delete(self._collection, chosen, wait=True)
            kept = ~np.isin(self._keys, there)
            self._keys, self._counts = self._keys[kept], self._counts[kept]

    def commit(self) -> None:
        """Nothing is left to do: the server wrote every change into its log before it answered."""

    def keys(self) -> Keys:
        """The documents that were there when the store was opened, and what it did since."""
        found: Keys = self._keys
        return found

    def size(self) -> Size:
        """How much is there; nobody knows the bytes."""
        return Size(len(self._keys), int(self._counts.sum()), 0)

    def gather(self, keys: Keys) -> Ragged:
        """The token vectors of some documents."""
        lists = [torch.empty(0, self.shape.dimension, dtype=torch.float16)] * len(keys)
        for number, vector in self._retrieve(keys, "tokens"):
            lists[number] = torch.tensor(vector, dtype=torch.float16)
        return Ragged.of(lists, self.shape.dimension)

    def pooled(self, keys: Keys) -> Float[Tensor, "c p"]:
        """The pooled vectors of some documents."""
        rows = torch.zeros(len(keys), self.shape.pooled, dtype=torch.float16)
        if self.shape.pooled:
            for number, vector in self._retrieve(keys, "pooled"):
                rows[number] = torch.tensor(vector, dtype=torch.float16)
        return rows

    def _retrieve(self, keys: Keys, name: str) -> Iterator[tuple[int, Any]]:
        """One of the vectors of each document that is there, with its place among the keys."""
        for start in range(0, len(keys), 256):
            part = keys[start : start + 256].tolist()
            with self._explained():
                points = self._client.retrieve(self._collection, part, False, [name])
            vectors = {point.id: (point.vector or {}).get(name) for point in points}
            for number, key in enumerate(part, start):
                if vectors.get(key) is not None:
                    yield number, vectors[key]

    def maxsim(self, query: Float[Tensor, "n d"], k: int, among: Keys | None = None) -> Ranking:
        """Scored by the server; where `among` is not given, over `candidates` documents."""
        self._fits(query)
        if not len(query):
            return super().maxsim(query, k, among)
        first = query.sum(0) if among is None and self._candidates else None
        return self._query(query, "tokens", k, among, first)

    def nearest(self, vector: Float[Tensor, " p"], k: int, among: Keys | None = None) -> Ranking:
        """Ranked by the server, by its graph where there are many."""
        return self._query(vector, "pooled", k, among, None)

    def _query(
        self, vector: Tensor, using: str, k: int, among: Keys | None, first: Tensor | None
    ) -> Ranking:
        from qdrant_client import models

        chosen = None if among is None else np.intersect1d(among, self._keys)
        if k < 1 or (chosen is not None and not len(chosen)):
            return Ranking.best(np.empty(0, np.int64), np.empty(0, np.float32), 0)
        asked: dict[str, Any] = {"query": vector.float().tolist(), "using": using, "limit": k}
        if chosen is not None:
            only = models.HasIdCondition(has_id=chosen.tolist())
            asked["query_filter"] = models.Filter(must=[only])
        if first is not None:
            few = max(k, self._candidates)
            asked["prefetch"] = models.Prefetch(query=first.tolist(), using="mean", limit=few)
        with self._explained():
            found = self._client.query_points(self._collection, with_payload=False, **asked).points
        keys = np.array([point.id for point in found], np.int64)
        return Ranking.best(keys, np.array([point.score for point in found], np.float32), k)

    def close(self) -> None:
        """Let go of the connection."""
        if self._mine:
            self._client.close()


def _connect(at: str) -> Any:
    try:
        from qdrant_client import QdrantClient
    except ImportError as error:
        raise MissingExtraError("a store on Qdrant", 'pip install "tokenry[retrieval]"') from error
    if at == MEMORY:
        return QdrantClient(MEMORY)
    if not at.startswith(("http://", "https://")):
        raise UsageError(
            f"qdrant: at={at!r} is not the address of a server. Start one with: {START} (and give "
            "at='http://localhost:6333' or set QDRANT_URL). Folders of the client's own are not "
            "opened: they hold pickled objects, which can run anything."
        )
    key = os.environ.get("QDRANT_API_KEY") if at == os.environ.get("QDRANT_URL") else None
    return QdrantClient(url=at, api_key=key, timeout=60, check_compatibility=False)


def _vectors(shape: Shape) -> Any:
    from qdrant_client import models

    def of(size: int, **more: Any) -> Any:
        kind = models.Datatype.FLOAT16
        return models.VectorParams(
            size=size, distance=models.Distance.DOT, datatype=kind, on_disk=True, **more
        )

    tokens = of(
        shape.dimension,
        hnsw_config=models.HnswConfigDiff(m=0),
        multivector_config=models.MultiVectorConfig(
            comparator=models.MultiVectorComparator.MAX_SIM
        ),
    )
    pooled = {"pooled": of(shape.pooled)} if shape.pooled else {}
    return {"tokens": tokens, "mean": of(shape.dimension), **pooled}


def _point(key: int, tokens: Tensor, pooled: Tensor | None) -> Any:
    from qdrant_client.models import PointStruct

    vectors: dict[str, Any] = {}
    if len(tokens):
        vectors = {"tokens": _plain(tokens), "mean": _plain(tokens.double().mean(0))}
    if pooled is not None and len(pooled):
        vectors["pooled"] = _plain(pooled)
    return PointStruct(id=key, vector=vectors, payload={"tokens": len(tokens)})


def _plain(values: Tensor) -> Any:
    """Numbers in as few letters as float16 needs."""
    return values.double().numpy().round(7).tolist()
