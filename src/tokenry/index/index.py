"""`tokenry.Index`: a folder of documents that is searched by their tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from tokenry.errors import StoreError, UnknownNameError, UsageError
from tokenry.index import columns
from tokenry.index.answers import hits
from tokenry.index.catalogue import Catalogue, Entry
from tokenry.index.documents import Changes, Document, Hit, batches, content_hash
from tokenry.index.folder import FILE, TOKENS, Encoder, Settings, Skip, lock
from tokenry.index.rankers import Plan, Query
from tokenry.index.store import Keys, Size, TokenStore
from tokenry.index.stores import open_store

ENCODER = "zoo:minilm-l6"
RANKERS = "bm25+pooled>maxsim"
BATCH = 64
"""Documents that are encoded and committed together."""

BATCH_LETTERS = 1 << 18
LEARN = 256
"""Documents from which fewer dimensions are learned, and the letters of each."""
LEARN_LETTERS = 2000

Given = str | Mapping[str, Any] | Document


class Index:
    """Documents in a folder, found by their words and by the vectors of their tokens.

    Everything is committed a few dozen documents at a time; after a kill the folder is as it was
    at the last commit. One process writes, others may read meanwhile. The folder can be moved.

    Args:
        path: The folder; made when it does not exist and `write` is true.
        encoder: `zoo:NAME`, a folder, a name on the Hub, or a `TokenEncoder`; None for
            the one that the index was made with, and `zoo:minilm-l6` for a new index.
        store: Where the token vectors lie: `segments`, or another of `tokenry.index.stores`.
        dimension: For a new index: dimensions that token vectors are brought to, learned from the
            first documents; None leaves them as they are.
        skip: For a new index: which tokens of documents are left out.
        write: False to search only.

    Raises:
        StoreError: If the folder cannot be read or written, is damaged, was written by a newer
            version, or another process writes to it.
        UsageError: If it was made with another encoder.

    >>> import tokenry
    >>> tokenry.Index.open("no/such/folder")
    Traceback (most recent call last):
    tokenry.errors.StoreError: no/such/folder: holds no index ...
    """

    def __init__(
        self,
        path: str | Path,
        encoder: str | Encoder | None = None,
        *,
        store: str = "segments",
        dimension: int | None = None,
        skip: Skip = "punctuation",
        write: bool = True,
    ) -> None:
        self.path = Path(path)
        if write:
            with columns.explained(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
        self._lock = lock(self.path) if write else None
        self._catalogue: Catalogue | None = None
        self._store: TokenStore | None = None
        try:
            if write and not (self.path / FILE).is_file():
                name = encoder if isinstance(encoder, str) else getattr(encoder, "name", ENCODER)
                made = Settings(encoder=name, store=store, skip=skip, dimension=dimension)
                Catalogue(self.path, write=True).close()
                made.write(self.path)
            self.settings = Settings.read(self.path)
            self._encoder = self._named(encoder)
            self._open()
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(
        cls, path: str | Path, encoder: str | Encoder | None = None, *, write: bool = False
    ) -> Index:
        """Open an index that is there, to search it.

        Args:
            path: Its folder, which may have been moved.
            encoder: As on the class; None for the one it was made with.
            write: True to change it.

        Raises:
            StoreError: If there is none, or it cannot be read.
        """
        Settings.read(Path(path))
        return cls(path, encoder, write=write)

    def _named(self, encoder: str | Encoder | None) -> Encoder | None:
        """The encoder that was handed over; None when it is to be loaded by its name."""
        if encoder is None or isinstance(encoder, str):
            if encoder not in (None, self.settings.encoder):
                raise UsageError(
                    f"{self.path}: was made with the encoder {self.settings.encoder!r}, not "
                    f"{encoder!r}; leave encoder out, or build another index."
                )
            return None
        self.settings.check(self.path, encoder)
        return encoder

    def _open(self) -> None:
        writes = self._lock is not None
        self._catalogue = Catalogue(self.path, write=writes)
        self._strangers = False
        if self.settings.shape is None:
            return
        folder, shape = self.path / TOKENS, self.settings.shape
        self._store = open_store(self.settings.store, folder, shape, write=writes)
        held, known = self._store.keys(), self._catalogue.keys()
        strangers = np.setdiff1d(held, known, assume_unique=True)
        if writes and len(known) > len(held) - len(strangers):
            lost = len(known) - len(held) + len(strangers)
            raise StoreError(
                f"{self.path}: the tokens of {lost} documents are lost; build it again."
            )
        if writes and len(strangers):  # of a process that was killed between two commits
            self._store.delete(strangers)
            self._store.commit()
        self._strangers = bool(len(strangers)) and not writes

    @property
    def encoder(self) -> Encoder:
        """The encoder, loaded when it is first needed."""
        if self._encoder is None:
            found = self.settings.load_encoder(self.path)
            self.settings.check(self.path, found)
            self._encoder = found
        return self._encoder

    def add(self, documents: Iterable[Given]) -> Changes:
        """Add documents, or replace those of the same id.

        They are read one after the other and committed in small batches, so that any number fits.
        A text that is there already, by its content, is not encoded again: a build that was
        stopped goes on when the same documents are added again.

        Args:
            documents: Texts, dicts with `text`, perhaps `id`, and metadata, or `Document`s.

        Raises:
            UsageError: If one of them is no document, or the index was opened for reading.
            StoreError: If they cannot be written; all batches before stay.
        """
        changes = Changes()
        for batch in self._batches(documents):
            self._add(batch, changes)
        return changes

    def update(self, documents: Iterable[Given]) -> Changes:
        """Replace documents that are there; the same as `add`, but for unknown ids.

        Raises:
            UnknownNameError: If an id is unknown; the batches before stay replaced.
        """
        changes = Changes()
        for batch in self._batches(documents):
            known = self._writable().known([document.id for document in batch])
            for document in batch:
                if document.id not in known:
                    raise UnknownNameError("document", document.id, known, "`add` adds it.")
            self._add(batch, changes)
        return changes

    def delete(self, ids: Iterable[str]) -> int:
        """Take documents out; their space comes back with `compact`.

        Args:
            ids: Ids that are not there are passed over.

        Returns:
            How many were there.
        """
        catalogue, names = self._writable(), list(dict.fromkeys(ids))
        gone = sorted(key for key, _, _ in catalogue.known(names).values())
        with catalogue.whole():
            catalogue.drop(names)
        self._forget(gone)
        return len(gone)

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
            where: Metadata that a document has, each one value or a list of allowed ones.
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

    def compact(self) -> None:
        """Give back the space of deleted documents."""
        self._writable()
        if self._store is not None:
            self._store.compact()

    def close(self) -> None:
        """Let go of all files."""
        for part in (self._store, self._catalogue):
            if part is not None:
                part.close()
        self._store = self._catalogue = None
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Index:
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

    def _writable(self) -> Catalogue:
        if self._lock is None:
            raise UsageError(
                f"{self.path}: was opened for reading; open it with write=True to change it."
            )
        return self._reading()

    def _batches(self, documents: Iterable[Given]) -> Iterator[list[Document]]:
        self._writable()
        learns = self.settings.dimension is not None and self.settings.shape is None
        given = iter(documents)
        if learns:
            first = list(islice(given, LEARN))
            yield from batches(first, LEARN, 1 << 62)
        yield from batches(given, BATCH, BATCH_LETTERS)

    def _add(self, batch: list[Document], changes: Changes) -> None:
        catalogue = self._writable()
        known = catalogue.known([document.id for document in batch])
        fresh, amended = [], []
        for document in batch:
            _, digest, metadata = known.get(document.id, (0, "", {}))
            if digest != content_hash(document.text):
                fresh.append(document)
            elif metadata != dict(document.metadata):
                amended.append(document)
        if amended:
            with catalogue.whole():
                for document in amended:
                    catalogue.amend(document)
        if fresh:
            self._store_batch(fresh, sorted(known[d.id][0] for d in fresh if d.id in known))
        added = sum(document.id not in known for document in batch)
        changes.added += added
        changes.changed += len(fresh) + len(amended) - added
        changes.unchanged += len(batch) - len(fresh) - len(amended)

    def _store_batch(self, fresh: list[Document], replaced: list[int]) -> None:
        """Vectors first, then the catalogue, whose commit is what counts, then the old vectors."""
        texts = [document.text for document in fresh]
        if self.settings.shape is None:
            self._settle(texts)
        made = self.encoder.encode(texts)
        catalogue, store = self._writable(), self._held()
        keys = catalogue.reserve(len(fresh))
        starts = made.tokens.offsets.tolist()
        entries = [
            Entry(int(key), one, content_hash(one.text), made.spans[a:b].numpy())
            for key, one, a, b in zip(keys, fresh, starts, starts[1:], strict=False)
        ]
        try:
            store.add(keys, made.tokens, made.pooled)
            store.commit()
            with catalogue.whole():
                catalogue.put(entries)
        except BaseException:
            self._reopen()
            raise
        self._forget(replaced)

    def _settle(self, texts: list[str]) -> None:
        """The first documents say how long vectors are."""
        some = [text[:LEARN_LETTERS] for text in texts]
        self.settings, self._encoder = self.settings.settled(self.path, self.encoder, some)
        self._reopen()

    def _reopen(self) -> None:
        """Back to what was committed last."""
        for part in (self._store, self._catalogue):
            if part is not None:
                part.close()
        self._store = self._catalogue = None
        self._open()

    def _forget(self, keys: list[int]) -> None:
        if keys and self._store is not None:
            self._store.delete(np.array(keys, np.int64))
            self._store.commit()

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
