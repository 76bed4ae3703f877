"""Texts, metadata and words of the documents: one SQLite file, and the truth about what exists.

SQLite commits whole transactions or nothing, and its full-text table ranks by BM25 and takes
additions and deletions one by one.
"""

from __future__ import annotations

import json
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from tokenry.errors import StoreError, UsageError
from tokenry.index.columns import REMEDY
from tokenry.index.documents import Document
from tokenry.index.filters import condition
from tokenry.index.store import Keys, Ranking

FILE = "documents.sqlite3"
MOST_WORDS = 256
"""Different words of a query that count."""

_MARKS = ("\ufdd0", "\ufdd1")  # around words that are found; neither is a character
_RESERVE = 1 << 12
_PART = 500  # values in one statement
_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE documents (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, text TEXT NOT NULL, metadata TEXT NOT NULL,
    hash TEXT NOT NULL, spans BLOB NOT NULL
);
CREATE VIRTUAL TABLE words USING fts5 (
    text, content='documents', content_rowid='key', tokenize='porter unicode61 remove_diacritics 2'
);
INSERT INTO facts VALUES ('reserved', 0);
"""

Spans = Int64[np.ndarray, "_ 2"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A document with its key, the hash of its text, and where its tokens stand."""

    key: int
    document: Document
    hash: str
    spans: Spans


class Catalogue:
    """The open file.

    Args:
        folder: Of the index.
        write: Whether anything will be changed.

    Raises:
        StoreError: If it cannot be read or written.
    """

    def __init__(self, folder: Path, *, write: bool) -> None:
        self.path, self._next, self._reserved = folder / FILE, 1, 0
        fresh = not self.path.is_file()
        if fresh and not write:
            raise StoreError(f"{folder}: {FILE} is not there; the index is damaged.")
        with self._explained():
            address = self.path.resolve().as_uri() + ("" if write else "?mode=ro")
            self._base = sqlite3.connect(
                address, uri=True, timeout=5, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(write)
            except BaseException:
                self._base.close()
                raise
        self._write = write

    def _prepare(self, write: bool) -> None:
        if write:
            self._run("PRAGMA journal_mode=WAL")
            self._run("PRAGMA synchronous=FULL")
            with self.whole():  # a kill during the first one leaves an empty file
                if not self._run("SELECT 1 FROM sqlite_master WHERE name = 'facts'"):
                    for statement in filter(str.strip, _SCHEMA.split(";\n")):
                        self._run(statement)
        ((held,),) = self._run("SELECT value FROM facts WHERE name = 'reserved'")
        self._next, self._reserved = held + 1, held

    def reserve(self, count: int) -> Keys:
        """Fresh keys; they are never handed out again, whatever happens."""
        first, self._next = self._next, self._next + count
        if self._next > self._reserved:
            with self.whole():
                held = self._next + _RESERVE
                self._run("UPDATE facts SET value = ? WHERE name = 'reserved'", held)
            self._reserved = held
        return np.arange(first, first + count)

    def put(self, entries: Iterable[Entry]) -> None:
        """Add documents; those of the same id go."""
        for entry in entries:
            self.drop([entry.document.id])
            content = _json(entry.document.metadata)
            text = _storable(entry.document.text)
            row = (entry.key, entry.document.id, text, content, entry.hash, _packed(entry.spans))
            self._run("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?)", *row)
            self._run("INSERT INTO words (rowid, text) VALUES (?, ?)", entry.key, text)

    def amend(self, document: Document) -> None:
        """Replace the metadata of a document."""
        content = _json(document.metadata)
        self._run("UPDATE documents SET metadata = ? WHERE id = ?", content, document.id)

    def drop(self, ids: Sequence[str]) -> None:
        """Take documents out; ids that are not there are passed over."""
        for name in ids:
            for key, text in self._run("SELECT key, text FROM documents WHERE id = ?", name):
                gone = "INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)"
                self._run(gone, key, text)
                self._run("DELETE FROM documents WHERE key = ?", key)

    def keys(self) -> Keys:
        """The keys of all documents, ascending."""
        return _keys(self._run("SELECT key FROM documents ORDER BY key"))

    def count(self) -> int:
        """How many documents there are."""
        ((count,),) = self._run("SELECT count(*) FROM documents")
        return int(count)

    def ids(self) -> Iterator[str]:
        """The ids of all documents."""
        return (name for (name,) in self._base.execute("SELECT id FROM documents ORDER BY key"))

    def known(self, ids: Sequence[str]) -> dict[str, tuple[int, str, Mapping[str, Any]]]:
        """Key, hash of the text and metadata of the documents that are there, by id."""
        rows = self._parts("SELECT id, key, hash, metadata FROM documents WHERE id IN", ids)
        return {name: (key, digest, json.loads(meta)) for name, key, digest, meta in rows}

    def entries(self, keys: Sequence[int]) -> dict[int, Entry]:
        """The documents under some keys; those that are gone are left out."""
        query = "SELECT key, id, text, metadata, hash, spans FROM documents WHERE key IN"
        return {
            key: Entry(key, Document(name, text, json.loads(meta)), digest, _unpacked(spans))
            for key, name, text, meta, digest, spans in self._parts(query, keys)
        }

    def where(self, wanted: Mapping[str, Any]) -> Keys:
        """The keys of the documents whose metadata are as `filters.condition` reads it."""
        test, values = condition(wanted)
        query = f"SELECT key FROM documents WHERE {test} ORDER BY key"  # noqa: S608
        return _keys(self._run(query, *values))

    def words(self, query: str, k: int, among: Keys | None = None) -> Ranking:
        """The documents by BM25 of the query's words (k1 = 1.2, b = 0.75)."""
        match, rows = _any_word(query), list[Any]()
        if match:
            subset = "" if among is None else "AND rowid IN (SELECT value FROM json_each(?))"
            given = () if among is None else (json.dumps(among.tolist()),)
            statement = (
                f"SELECT rowid, -rank FROM words WHERE words MATCH ? {subset} "  # noqa: S608
                "ORDER BY rank LIMIT ?"
            )
            rows = self._run(statement, match, *given, k)
        scores = np.array([score for _, score in rows], np.float64)
        return Ranking.best(_keys(rows), scores, k)

    def places(self, query: str, keys: Sequence[int]) -> dict[int, list[tuple[int, int]]]:
        """Where documents say a word of a query, in whatever form."""
        match, found = _any_word(query), dict[int, list[tuple[int, int]]]()
        if match:
            asked = "SELECT rowid, text, highlight(words, 0, ?, ?) FROM words WHERE words MATCH ?"
            for key, text, marked in self._parts(f"{asked} AND rowid IN", keys, *_MARKS, match):
                found[key] = _places(text, marked)
        return found

    @contextmanager
    def whole(self) -> Iterator[None]:
        """All changes inside, or none."""
        with self._explained():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Let go of the file; after a writer it is a single one, without companions."""
        try:
            if self._write:
                with self._explained():
                    self._run("PRAGMA journal_mode=DELETE")  # stays a log while someone reads
        finally:
            self._base.close()

    def _run(self, query: str, *values: Any) -> list[Any]:
        with self._explained():
            return self._base.execute(query, values).fetchall()

    def _parts(self, query: str, values: Sequence[Any], *before: str) -> Iterator[Any]:
        for start in range(0, len(values), _PART):
            part = values[start : start + _PART]
            yield from self._run(f"{query} ({', '.join('?' * len(part))})", *before, *part)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Errors of SQLite in words."""
        try:
            yield
        except UnicodeEncodeError as error:
            raise UsageError(
                f"{self.path}: {error.object!r} holds half of a character (a lone surrogate), as "
                "no text that can be stored does; replace it."
            ) from error
        except sqlite3.Error as error:
            if not isinstance(error, sqlite3.OperationalError):
                raise StoreError(f"{self.path}: is damaged ({error}); {REMEDY}.") from error
            raise StoreError(
                f"{self.path}: {error}; the index stays as it was last committed. Make room, wait "
                "for the other process, or see that the folder can be read and written."
            ) from error


def _keys(rows: Iterable[Any]) -> Keys:
    return np.array([row[0] for row in rows], np.int64)


def _any_word(query: str) -> str:
    """What the full-text table is asked; empty for a query without words."""
    found = dict.fromkeys(word.lower() for word in re.findall(r"\w+", _storable(query)))
    return " OR ".join(f'"{word}"' for word in list(found)[:MOST_WORDS])


def _places(text: str, marked: str) -> list[tuple[int, int]]:
    """What stands between marks, counted without them.

    A text with a zero in it comes back without the rest, and one may hold marks of its own; in
    these nothing is marked.
    """
    first, last = _MARKS
    if marked.replace(first, "").replace(last, "") != text:
        return []
    spans, length = [], 0
    for piece in marked.split(first):
        inside, closed, after = piece.partition(last)
        if closed:
            spans.append((length, length + len(inside)))
        length += len(inside) + len(after)
    return spans


def _storable(text: str) -> str:
    """Without lone surrogates, which SQLite does not take; as many characters as before."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _json(metadata: Mapping[str, Any]) -> str:
    return _storable(json.dumps(dict(metadata), ensure_ascii=False))


def _packed(spans: Spans) -> bytes:
    steps = np.diff(spans.reshape(-1), prepend=0).astype("<i4")
    return zlib.compress(steps.tobytes(), 6)


def _unpacked(content: bytes) -> Spans:
    steps = np.frombuffer(zlib.decompress(content), "<i4").astype(np.int64)
    return steps.cumsum().reshape(-1, 2)
