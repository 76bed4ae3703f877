"""The results folder: one SQLite file that survives kills and power cuts.

SQLite because it comes with Python, commits whole transactions or nothing (write-ahead log,
`synchronous=FULL`), refuses a row twice (primary keys), checks itself when opened, says when the
disk is full, and lets one process write at a time. While a comparison runs the file is locked; a
finished one is a single file without companions that can be copied anywhere.

Rows are kept under a study (everything that scores and seconds depend on: weights, data, versions,
machine, seed and so on), a task, a method and keep, and an example. What a comparison asked for is
a request; the last one says what `Results.open` shows.
"""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tokenry.errors import StoreError

VERSION = 2
FILE = "results.sqlite3"
COMMIT_SECONDS = 1.0
"""A kill loses no more work than this, and the batch in progress."""

_APPLICATION = 0x746F6B6E  # "tokn" in the file's header says whose it is
_SCHEMA = """
CREATE TABLE studies (id INTEGER PRIMARY KEY, facts TEXT NOT NULL UNIQUE);
CREATE TABLE requests (id INTEGER PRIMARY KEY AUTOINCREMENT, content TEXT NOT NULL);
CREATE TABLE rows (
    study INTEGER NOT NULL, task TEXT NOT NULL, method TEXT NOT NULL, keep REAL NOT NULL,
    example TEXT NOT NULL, batch INTEGER NOT NULL, score REAL NOT NULL, scores TEXT NOT NULL,
    seconds REAL NOT NULL, tokens REAL NOT NULL, costs TEXT NOT NULL,
    PRIMARY KEY (study, task, method, keep, example)
) WITHOUT ROWID;
CREATE TABLE profiles (
    study INTEGER NOT NULL, method TEXT NOT NULL, keep REAL NOT NULL, content TEXT NOT NULL,
    PRIMARY KEY (study, method, keep)
) WITHOUT ROWID;
CREATE TABLE groups (
    study INTEGER NOT NULL, method TEXT NOT NULL, keep REAL NOT NULL, example TEXT NOT NULL,
    height INTEGER NOT NULL, width INTEGER NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (study, method, keep, example)
);
CREATE TABLE thumbnails (
    study INTEGER NOT NULL, example TEXT NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (study, example)
);
"""

Key = tuple[str, float]
"""A configuration as the store knows it: the method's identity, and keep."""

Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One example of one task under one configuration, as it is stored."""

    task: str
    example: str
    batch: int
    score: float
    scores: dict[str, float]
    seconds: float
    tokens: float
    costs: dict[str, float] = field(default_factory=dict)


class Store:
    """An open results folder; use it in a `with` statement.

    Args:
        folder: The folder; made when it does not exist and `write` is true.
        write: Whether to write. One process at a time can.
        check: Whether to look for damage first, which takes a few seconds per gigabyte.

    Raises:
        StoreError: If the folder cannot be read or written, is in use by another process, is
            damaged, or was written by another version of the store.
    """

    def __init__(self, folder: Path, *, write: bool, check: bool = True) -> None:
        self.folder = folder
        self._write = write
        self._new = write and not (folder / FILE).exists()
        self._made = [one for one in (folder, *folder.parents) if write and not one.exists()]
        if write:
            with self._explained():
                folder.mkdir(parents=True, exist_ok=True)
        elif not (folder / FILE).is_file():
            raise StoreError(
                f"{folder}: holds no results ({FILE} is not there); give the folder that was the "
                "folder= of a comparison."
            )
        with self._explained():
            self._connection = sqlite3.connect(folder / FILE, timeout=1, isolation_level=None)
        try:
            with self._explained():
                self._prepare(check)
        except BaseException:
            self._connection.close()
            raise
        self._committed = time.monotonic()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._write:
                with self._explained():
                    self.commit()
                    self._run("PRAGMA journal_mode=DELETE")
        except StoreError:
            # The log stays beside the file and is read on the next open: nothing is lost.
            if error is None:
                raise
        finally:
            unused = self._new and self._empty()
            self._connection.close()
            if unused:
                self._remove()

    def study(self, facts: dict[str, Any]) -> int:
        """The number of the study with these facts; a new one when there is none."""
        content = json.dumps(facts, sort_keys=True)
        with self._whole():
            self._run("INSERT INTO studies (facts) VALUES (?) ON CONFLICT DO NOTHING", content)
        ((number,),) = self._run("SELECT id FROM studies WHERE facts = ?", content)
        return int(number)

    def done(self, study: int) -> dict[Key, set[tuple[str, str]]]:
        """The (task, example) pairs that are there, by configuration."""
        found: dict[Key, set[tuple[str, str]]] = {}
        query = "SELECT method, keep, task, example FROM rows WHERE study = ?"
        for method, keep, task, example in self._run(query, study):
            found.setdefault((method, keep), set()).add((task, example))
        return found

    def add(
        self,
        study: int,
        key: Key,
        records: Iterable[Record],
        groups: Iterable[tuple[str, NDArray[np.int16]]] = (),
    ) -> None:
        """Add the rows of one batch, all or none; rows that are there stay as they are."""
        rows = [
            (study, r.task, *key, r.example, r.batch, r.score, scores, r.seconds, r.tokens, costs)
            for r in records
            for scores, costs in [(json.dumps(r.scores), json.dumps(r.costs))]
        ]
        maps = [(study, *key, name, *g.shape, zlib.compress(g.tobytes(), 1)) for name, g in groups]
        with self._whole():
            self._add("rows", rows)
            self._add("groups", maps)

    def add_thumbnails(self, study: int, pictures: Iterable[tuple[str, bytes]]) -> None:
        """Add what examples look like; those that are there stay."""
        with self._whole():
            self._add("thumbnails", [(study, name, content) for name, content in pictures])

    def add_profile(self, study: int, key: Key, content: dict[str, Any]) -> None:
        """Set the profile of a configuration."""
        with self._whole():
            self._run(
                "INSERT OR REPLACE INTO profiles VALUES (?,?,?,?)", study, *key, json.dumps(content)
            )

    def add_request(self, content: dict[str, Any]) -> int:
        """Note what is asked for; the number to `change_request` it by."""
        with self._whole():
            self._run("INSERT INTO requests (content) VALUES (?)", json.dumps(content))
        ((number,),) = self._run("SELECT max(id) FROM requests")
        return int(number)

    def change_request(self, number: int, content: dict[str, Any]) -> None:
        """Replace a request."""
        with self._whole():
            self._run("UPDATE requests SET content = ? WHERE id = ?", json.dumps(content), number)

    def commit(self, *, after: float = 0.0) -> None:
        """Make everything that was added last, unless that was done less than `after` seconds ago.

        Raises:
            StoreError: If it cannot be written, such as on a full disk; what was committed before
                stays readable.
        """
        if self._connection.in_transaction and time.monotonic() - self._committed >= after:
            with self._explained():
                self._run("COMMIT")
            self._committed = time.monotonic()

    def request(self) -> dict[str, Any]:
        """The last request.

        Raises:
            StoreError: If there is none.
        """
        found = self._run("SELECT content FROM requests ORDER BY id DESC LIMIT 1")
        if not found:
            raise StoreError(f"{self.folder}: holds no comparison yet; run one with folder= here.")
        content: dict[str, Any] = json.loads(found[0][0])
        return content

    def records(self, study: int, key: Key) -> list[Record]:
        """The rows of one configuration."""
        query = (
            "SELECT task, example, batch, score, scores, seconds, tokens, costs FROM rows "
            "WHERE study = ? AND method = ? AND keep = ?"
        )
        return [
            Record(
                task, example, batch, score, json.loads(more), seconds, tokens, json.loads(costs)
            )
            for task, example, batch, score, more, seconds, tokens, costs in self._run(
                query, study, *key
            )
        ]

    def profiles(self, study: int) -> dict[Key, dict[str, Any]]:
        """The profiles by configuration."""
        query = "SELECT method, keep, content FROM profiles WHERE study = ?"
        return {(m, k): json.loads(content) for m, k, content in self._run(query, study)}

    def groups(self, study: int, key: Key, example: str) -> NDArray[np.int16] | None:
        """What became of the tokens of an example; None when not stored."""
        query = (
            "SELECT height, width, content FROM groups "
            "WHERE study = ? AND method = ? AND keep = ? AND example = ?"
        )
        for height, width, content in self._run(query, study, *key, example):
            flat = np.frombuffer(zlib.decompress(content), dtype=np.int16)
            return flat.reshape(height, width)
        return None

    def thumbnail(self, study: int, example: str) -> bytes | None:
        """The example as the model saw it; None when not stored."""
        query = "SELECT content FROM thumbnails WHERE study = ? AND example = ?"
        for (content,) in self._run(query, study, example):
            return bytes(content)
        return None

    def _empty(self) -> bool:
        """Whether nothing was ever asked for or measured; not where that cannot be read."""
        queries = ("SELECT 1 FROM requests", "SELECT 1 FROM studies", "SELECT 1 FROM rows")
        try:
            return not any(self._run(query + " LIMIT 1") for query in queries)
        except StoreError:
            return False

    def _remove(self) -> None:
        """Take away a file in which nothing stands, and the folders that were made for it."""
        with suppress(OSError):  # what somebody else put there stays
            (self.folder / FILE).unlink()
            for one in self._made:
                one.rmdir()

    def _prepare(self, check: bool) -> None:
        """Lock, check and, when new, fill the file."""
        if self._write:
            self._run("PRAGMA locking_mode=EXCLUSIVE")
            self._run("PRAGMA journal_mode=WAL")
            self._run("PRAGMA synchronous=FULL")
            self._run("BEGIN IMMEDIATE")
            self._run("COMMIT")
        ((tables,),) = self._run("SELECT count(*) FROM sqlite_master")
        if not tables and self._write:
            self._connection.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA application_id={_APPLICATION}; "
                f"PRAGMA user_version={VERSION}; COMMIT;"
            )
        ((owner,),), ((version,),) = (
            self._run("PRAGMA application_id"),
            self._run("PRAGMA user_version"),
        )
        if owner != _APPLICATION:
            raise StoreError(
                f"{self.folder}: {FILE} is a database of something else; give another folder."
            )
        if version != VERSION:
            raise StoreError(
                f"{self.folder}: the results were stored by store version {version}, this tokenry "
                f"reads and writes version {VERSION}; give another folder, or use the tokenry "
                "that wrote them."
            )
        if check:
            ((health,),) = self._run("PRAGMA integrity_check(1)")
            if health != "ok":
                raise sqlite3.DatabaseError(health)

    def _run(self, query: str, *values: Any) -> list[Values]:
        with self._explained():
            return self._connection.execute(query, values).fetchall()

    def _add(self, table: Literal["rows", "groups", "thumbnails"], rows: list[Values]) -> None:
        """Insert rows; one whose key is there already stays as it is."""
        if rows:
            marks = ",".join("?" * len(rows[0]))
            query = f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608
            with self._explained():
                self._connection.executemany(query, rows)

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """All of the changes inside, or none of them."""
        if not self._connection.in_transaction:
            self._run("BEGIN")
        self._run("SAVEPOINT whole")
        try:
            yield
        except BaseException:
            # A full disk may have ended the transaction already.
            if self._connection.in_transaction:
                self._run("ROLLBACK TO whole")
            raise
        self._run("RELEASE whole")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreError(f"{self.folder}: {_advice(str(error))}") from error
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"{self.folder}: {FILE} is damaged ({error}); restore a copy, or delete it and "
                "run the comparison again."
            ) from error
        except StoreError:
            raise
        except OSError as error:
            raise StoreError(
                f"{self.folder}: cannot be used for results ({error.strerror}); give another "
                "folder."
            ) from error


def _advice(problem: str) -> str:
    """What to do about a problem that SQLite reports."""
    if "full" in problem:
        return (
            "the disk is full; what was measured before is kept. Make room and run the same "
            "comparison again: it goes on where it stopped."
        )
    if "locked" in problem:
        return "another process is using these results; wait for it, or give another folder."
    return f"cannot be read or written ({problem}); check its permissions, or give another folder."
