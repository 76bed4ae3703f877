"""Looking into an index: what searching needs, and nothing that changes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from filelock import BaseFileLock

from tokenry.counted import counted
from tokenry.errors import StoreError, UnknownNameError, UsageError
from tokenry.index import columns
from tokenry.index.answers import hits
from tokenry.index.catalogue import Catalogue
from tokenry.index.documents import Document, Hit
from tokenry.index.folder import TOKENS, Encoder, Settings
from tokenry.index.rankers import Plan, Query
from tokenry.index.store import Keys, Size, TokenStore
from tokenry.index.stores import open_store

RANKERS = "bm25+pooled>maxsim"

S = TypeVar("S", bound="Searchable")


class Searchable:
    """An index that is open."""

    path: Path
    settings: Settings
    _lock: BaseFileLock | None = None
    _catalogue: Catalogue | None = None
    _store: TokenStore | None = None
    _encoder: Encoder | None = None
    _strangers = False

    @property
    def encoder(self) -> Encoder:
        """The encoder, loaded when it is first needed."""
        if self._encoder is None:
            found = self.settings.load_encoder(self.path)
            self.settings.check(self.path, found)
            self._encoder = found
        return self._encoder

    def search(
        self,
        query: str | Query,
        k: int = 10,
        *,
        rankers: str = RANKERS,
        candidates: int = 100,
        where: Mapping[str, Any] | None = None,
        among: Iterable[str] | None = None,
    ) -> list[Hit]:
        """The documents that answer a query best.

        Args:
            query: A text, or what `query` made of one.
            k: Most documents.
            rankers: `bm25` by words, `pooled` by one vector, `maxsim` or `xtr` by tokens; a+b
                fuses two rankings, a>b lets b put what a found in order.
            candidates: Documents that each ranker before `>` finds.
            where: Metadata that a document has: by name a value, a list of allowed ones, or bounds
                such as `{">=": 2020}`, where a number is compared with numbers and texts that begin
                with one, and a text with texts.
            among: Ids of the only documents that count.

        Raises:
            UnknownNameError: If there is no such ranker.
            UsageError: If a number is below 1, or the encoder is not that of the index.
        """
        if min(k, candidates) < 1:
            raise UsageError(f"search: k={k} and candidates={candidates} are at least 1.")
        plan = Plan.parse(rankers)
        if self._store is None or self._catalogue is None:
            return []
        asked = self.query(query, plan) if isinstance(query, str) else query
        found = plan.rank(
            asked,
            k,
            catalogue=self._catalogue,
            store=self._store,
            among=self._subset(where, among),
            candidates=candidates,
        )
        return hits(asked, found, self._catalogue, self._store)

    def query(self, text: str, plan: Plan | None = None) -> Query:
        """A query with its vectors, to be asked several times."""
        if plan is not None and not plan.reads_vectors:
            return Query(text)
        made = self.encoder.encode([text], "query")
        return Query(text, made.tokens.values, made.spans, made.pooled[0])

    def get(self, document: str) -> Document:
        """The document of an id.

        Raises:
            UnknownNameError: If there is none.
        """
        found = self._reading().known([document])
        if document not in found:
            raise UnknownNameError("document", document, found)
        key = found[document][0]
        return self._reading().entries([key])[key].document

    def ids(self) -> Iterator[str]:
        """The ids of all documents, in the order they were added or changed."""
        return self._reading().ids()

    def size(self) -> Size:
        """Documents, token vectors, and bytes of the folder."""
        held = Size(0, 0, 0) if self._store is None else self._store.size()
        return Size(len(self), held.tokens, columns.size_of(self.path))

    def __len__(self) -> int:
        return self._reading().count()

    def close(self) -> None:
        """Let go of all files."""
        for part in (self._store, self._catalogue):
            if part is not None:
                part.close()
        self._store = self._catalogue = None
        if self._lock is not None:
            self._lock.release()

    def __enter__(self: S) -> S:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _reading(self) -> Catalogue:
        if self._catalogue is None:
            raise UsageError(f"{self.path}: the index is closed; open it again.")
        return self._catalogue

    def _held(self) -> TokenStore:
        if self._store is None:
            raise UsageError(f"{self.path}: the index is closed; open it again.")
        return self._store

    def _subset(self, where: Mapping[str, Any] | None, among: Iterable[str] | None) -> Keys | None:
        catalogue = self._reading()
        found = catalogue.keys() if self._strangers else None
        if where is not None:
            found = catalogue.where(where)
        if among is not None:
            some = [key for key, _, _ in catalogue.known(list(among)).values()]
            ids = np.array(sorted(some), np.int64)
            found = ids if found is None else np.intersect1d(found, ids, assume_unique=True)
        return found

    def _open(self, encoder: Encoder | None) -> None:
        """Open the files; with the encoder that was handed over, if one was."""
        if encoder is not None:
            self.settings.check(self.path, encoder)
        self._encoder = encoder
        writes = self._lock is not None
        self._catalogue = Catalogue(self.path, write=writes)
        self._strangers = False
        if self.settings.shape is None or not (writes or self._catalogue.count()):
            return  # a process that was killed may have left no store yet
        folder, shape = self.path / TOKENS, self.settings.shape
        self._store = open_store(self.settings.store, folder, shape, write=writes)
        held, known = self._store.keys(), self._catalogue.keys()
        strangers = np.setdiff1d(held, known, assume_unique=True)
        if writes and len(known) > len(held) - len(strangers):
            lost = len(known) - len(held) + len(strangers)
            whose = counted(lost, "document")
            raise StoreError(f"{self.path}: the tokens of {whose} are lost; {columns.REMEDY}.")
        if writes and len(strangers):  # of a process that was killed between two commits
            self._store.delete(strangers)
            self._store.commit()
        self._strangers = bool(len(strangers)) and not writes
