"""`tokenry.Index`: a folder of documents that is searched by their tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tokenry.errors import UnknownNameError, UsageError
from tokenry.index import columns
from tokenry.index.catalogue import Catalogue, Entry
from tokenry.index.documents import Changes, Document, batches, content_hash
from tokenry.index.folder import FILE, Encoder, Settings, Skip, lock
from tokenry.index.searching import Searchable
from tokenry.index.stores import check_bits
from tokenry.plugs.token_encoder import TokenEncoder

BATCH = 64
"""Documents that are encoded and committed together."""

BATCH_LETTERS = 1 << 16
"""About as many letters at most: a few seconds of work on one core."""

LEARN = 256
"""Documents from which fewer dimensions are learned, and the letters of each."""
LEARN_LETTERS = 2000

Given = str | Mapping[str, Any] | Document


class Index(Searchable):
    """Documents in a folder, found by their words and by the vectors of their tokens.

    Everything is committed a few dozen documents at a time; after a kill the folder is as it was
    at the last commit. One process writes, others may read meanwhile. The folder can be moved.

    Args:
        path: The folder; made when it does not exist and `write` is true.
        encoder: `zoo:NAME`, a folder, a name on the Hub, or a `TokenEncoder`; None for
            the one that the index was made with, and `zoo:minilm-l6` for a new index.
        store: For a new index: where the token vectors lie, `segments` or another of
            `tokenry.index.stores`, with settings as in `name(setting=value)`.
        dimension: For a new index: dimensions that token vectors are brought to, learned from the
            first documents; None leaves them as they are.
        skip: For a new index: which tokens of documents are left out, `punctuation` or `nothing`.
        write: False to search only.

    Raises:
        StoreError: If the folder cannot be read or written, is damaged, was written by a newer
            version, or another process writes to it.
        UsageError: If it was made with another encoder, or with other settings than those given,
            or nothing can be loaded by the encoder's name.

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
        store: str | None = None,
        dimension: int | None = None,
        skip: Skip | None = None,
        write: bool = True,
    ) -> None:
        self.path = Path(path)
        name = encoder if encoder is None or isinstance(encoder, str) else encoder.name
        wanted = {"encoder": name, "store": store, "skip": skip, "dimension": dimension}
        given = {what: value for what, value in wanted.items() if value is not None}
        if write:
            if self.path.exists() and not self.path.is_dir():
                raise UsageError(f"{self.path}: is a file; an index is a folder, name another.")
            planned = Settings.planned(self.path, given)  # refused before anything is made
            if isinstance(encoder, str) and planned.shape is None:
                TokenEncoder.check_name(encoder)
            with columns.explained(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
            self._lock = lock(self.path)
        try:
            if write:
                self._make(given)
            self.settings = Settings.read(self.path)
            if not isinstance(encoder, str):  # its fingerprint tells, not its name
                given.pop("encoder", None)
            self.settings.agree(self.path, given)
            self._open(None if isinstance(encoder, str) else encoder)
        except BaseException:
            self.close()
            raise

    def _make(self, given: dict[str, Any]) -> None:
        """Make what is not there; what a refused encoder or store left behind is made anew."""
        planned, there = Settings.planned(self.path, given), (self.path / FILE).is_file()
        if not there:
            Catalogue(self.path, write=True).close()
        if not there or planned != Settings.read(self.path):
            planned.write(self.path)

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

    def add(
        self, documents: Iterable[Given], *, done: Callable[[int], object] | None = None
    ) -> Changes:
        """Add documents, or replace those of the same id.

        They are read one after the other and committed in small batches, so that any number fits.
        A text that is there already, by its content, is not encoded again: a build that was
        stopped goes on when the same documents are added again.

        Args:
            documents: Texts, dicts with `text`, perhaps `id`, and metadata, or `Document` objects.
            done: Called with the number of documents each time that some are committed.

        Raises:
            UsageError: If one of them is no document, or the index was opened for reading.
            StoreError: If they cannot be written; all batches before stay.
        """
        changes = Changes()
        for batch in self._batches(documents):
            self._add(batch, changes)
            if done is not None:
                done(len(batch))
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

    def compact(self) -> None:
        """Give back the space of deleted documents."""
        self._writable()
        if self._store is not None:
            self._store.compact()

    def compress(self, bits: int = 4) -> None:
        """Bring token vectors to a few bits per dimension; the store `segments` can.

        Documents that are added afterwards are exact until the next call.

        Args:
            bits: Per dimension: 1, 2, 4 or 8.

        Raises:
            UsageError: If the store cannot.
        """
        self._writable()
        check_bits(self.settings.store, bits)
        if self._store is not None:
            self._store.compress(bits)

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
        store.check(made.tokens, lambda place: fresh[place].id)
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
        self._open(self._encoder)

    def _forget(self, keys: list[int]) -> None:
        if keys and self._store is not None:
            self._store.delete(np.array(keys, np.int64))
            self._store.commit()
