"""Documents from a folder, a table or a collection, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from tokenry.counted import counted
from tokenry.data.collection_loader import collection_documents
from tokenry.data.documents import SUFFIXES, TEXT_COLUMNS
from tokenry.data.files import read_bounded, walk
from tokenry.data.row_streams import ROW_SUFFIXES, UTF8, RowTable, row_table
from tokenry.data.rows import find_column
from tokenry.errors import DataError, UsageError
from tokenry.index import catalogue, folder
from tokenry.index.documents import Document

MAX_BYTES = 16 << 20
_REMEDY = "save it as UTF-8, or give --encoding"


class Source:
    """A folder of text files, a table (.csv, .jsonl, .parquet), or a collection (BEIR, TREC).

    A file's id is its path below the folder, and its metadata say in which `folder` it lies; of a
    table all other columns are metadata.

    Args:
        path: Where it is. Files of a folder, and rows of a table or collection, are read one by
            one when their turn comes; a table or collection is looked through once before.
        text_column: Tables: the column of texts; None for one with a usual name.
        id_column: Tables: the column of ids; None for `id`. Where there is neither, the id is
            made from the text.
        encoding: Of files that are not UTF-8; None leaves them out, or refuses a table.

    Attributes:
        skipped: Why files or rows were left out, once they were read.
        others: How many files of a folder are of another kind, by the ending of their names.

    Raises:
        DataError: If there is nothing to read.
        UnknownNameError: If a column is not there.
        UsageError: If there is no such encoding.
    """

    def __init__(
        self,
        path: Path,
        *,
        text_column: str | None = None,
        id_column: str | None = None,
        encoding: str | None = None,
    ) -> None:
        self.path, self._encoding = path, _known(encoding)
        self.skipped: list[str] = []
        self.others: Counter[str] = Counter()
        self._files: list[Path] = []
        self._closed: dict[str, str] = {}
        self._unread: set[str] = set()
        self._collection = collection_documents(path) if path.is_dir() else None
        if self._collection is not None:
            self._documents = sum(1 for _ in self._collection())
            return
        if path.is_dir():
            found = _without_indexes(walk(path, self._closed))
            self._files = [one for one in found if one.suffix.lower() in SUFFIXES]
            kinds = Counter(one.suffix.lower() for one in found)
            self.others = Counter({k: n for k, n in kinds.items() if k not in SUFFIXES})
        elif path.suffix.lower() in (*ROW_SUFFIXES, *SUFFIXES) and path.is_file():
            self._files = [path]
        else:
            what = "is not there" if not path.exists() else "is not read"
            raise DataError(
                f"{path}: {what}; give a folder of text files, a text file, or a table: "
                f"{', '.join(ROW_SUFFIXES)}."
            )
        if not self._files:
            raise DataError(
                f"{path}: holds no text files ({listed(self.others) or 'nothing'}); give a folder "
                "with some, whose names end in .txt, .md, .html or the like, or one table."
            )
        if self._is_table:
            self._read_columns(text_column, id_column)

    def _read_columns(self, text_column: str | None, id_column: str | None) -> None:
        self._table = self._rows_of(self.path)
        names = self._table.names
        text = find_column(self.path, names, text_column, TEXT_COLUMNS)
        self._id = find_column(self.path, names, id_column, ("id",))
        if text is None:
            raise DataError(
                f"{self.path}: none of its columns ({', '.join(names) or 'none'}) is named "
                f"{', '.join(TEXT_COLUMNS)}; give --text-column."
            )
        self._text = text

    def _rows_of(self, path: Path) -> RowTable:
        try:
            return row_table(path)
        except DataError as error:
            if self._encoding is None or not isinstance(error.__cause__, UnicodeError):
                raise
            return row_table(path, self._encoding)

    def check(self, out: Path) -> None:
        """Refuse a folder for an index in which texts of this source lie.

        The next time they would be taken for a part of the index, and left out.

        Raises:
            UsageError: If there are some.
        """
        here = out.resolve()
        inside = sum(here in one.resolve().parents for one in self._files)
        if inside and not self._is_table:
            raise UsageError(
                f"{out}: {counted(inside, 'text')} of {self.path} would lie in the index; give it "
                "a folder of its own."
            )

    def __len__(self) -> int:
        """How many files or rows there are."""
        if self._collection is not None:
            return self._documents
        return self._table.count if self._is_table else len(self._files)

    def holds(self, document: str) -> bool:
        """Whether a document may still be there, though it could not be read this time."""
        closed = tuple(name for name in self._closed if name.endswith("/"))
        return document in self._unread or document.startswith(closed)

    @property
    def _is_table(self) -> bool:
        return self._files[0] == self.path and self.path.suffix.lower() in ROW_SUFFIXES

    def __iter__(self) -> Iterator[Document]:
        """The documents; those that cannot be read are noted in `skipped`."""
        self.skipped = [f"{name}: {why}" for name, why in self._closed.items()]
        self._unread = set()
        if self._collection is not None:
            return (Document(_whole(one.id), one.text, one.meta) for one in self._collection())
        return self._rows() if self._is_table else self._texts()

    def _texts(self) -> Iterator[Document]:
        root = self.path if self.path.is_dir() else self.path.parent
        for path in self._files:
            name = path.relative_to(root).as_posix()
            known = PurePosixPath(_whole(name))
            try:
                text = self._decoded(
                    read_bounded(path, name, MAX_BYTES, "too many; split the file.")
                )
            except UnicodeDecodeError as error:
                self.skipped.append(f"{name}: is not {error.encoding.upper()}; {_REMEDY}.")
            except DataError as error:
                self.skipped.append(str(error))
            else:
                yield Document(str(known), text, {"folder": str(known.parent)})
                continue
            self._unread.add(str(known))

    def _decoded(self, content: bytes) -> str:
        try:
            return content.decode(UTF8)
        except UnicodeDecodeError:
            if self._encoding is None:
                raise
            return content.decode(self._encoding)

    def _rows(self) -> Iterator[Document]:
        for number, row in enumerate(self._table.rows(), 1):
            content = row.get(self._text)
            if not isinstance(content, str):
                self.skipped.append(f"row {number}: its {self._text} is no text.")
                continue
            given: dict[str, Any] = {"text": content}
            if self._id is not None and row.get(self._id) not in (None, ""):
                given["id"] = _whole(str(row[self._id]))
            mine = (self._text, self._id, None)  # csv puts surplus cells under None
            rest = {name: _plain(value) for name, value in row.items() if name not in mine}
            yield replace(Document.of(given), metadata=rest)


def _without_indexes(files: list[Path]) -> list[Path]:
    """Files that are no part of an index, which may lie among the texts that it is made of."""
    indexes = {
        one.parent
        for one in files
        if one.name == folder.FILE and (one.parent / catalogue.FILE).is_file()
    }
    return [one for one in files if indexes.isdisjoint(one.parents)]


def _known(encoding: str | None) -> str | None:
    if encoding is not None:
        try:
            "".encode(encoding)
        except LookupError:
            raise UsageError(
                f"index: encoding={encoding!r} is unknown; give one of Python's, such as latin-1."
            ) from None
    return encoding


def _whole(name: str) -> str:
    """A name without halves of characters, which files and JSON may have and no id does."""
    return name.encode("utf-8", "replace").decode()


def listed(kinds: Mapping[str, int]) -> str:
    """Kinds of files for people, the most frequent first.

    >>> listed({".gz": 3, "": 9})
    '9 without an ending, 3 .gz'
    """
    ordered = sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))
    named = [f"{count} {kind or 'without an ending'}" for kind, count in ordered[:6]]
    rest = sum(count for _, count in ordered[6:])
    return ", ".join([*named, f"{rest} others"] if rest else named)


def _plain(value: Any) -> Any:
    """A cell as plain data: dates and the like as text."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return [_plain(one) for one in value] if isinstance(value, list) else str(value)
