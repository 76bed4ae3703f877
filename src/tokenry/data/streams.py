"""Texts of any size, piece by piece, each with the category that it belongs to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tokenry.data.documents import SUFFIXES
from tokenry.data.files import place, walk
from tokenry.data.sources import printable
from tokenry.data.text_loader import load_text
from tokenry.errors import DataError, UsageError

PIECE = 2**16
"""Most bytes of a piece; longer texts are cut, at the end of a line where there is one."""


class Piece(NamedTuple):
    """A text, or a part of a long one.

    Attributes:
        category: What it belongs to, such as a language.
        name: The document that it is of.
        text: The text.
        broken: Bytes that were not UTF-8, each run of them now a replacement character.
    """

    category: str
    name: str
    text: str
    broken: int


def stream(source: Any) -> Iterator[Piece]:
    """The pieces of texts, category by category, without holding them all.

    Args:
        source: one of

            - a folder: each sub-folder is a category, files beside them are one of the folder's
              name;
            - a text file, whose name is the category;
            - whatever else `tokenry.data.load_text` reads: a table with columns text and domain, a
              list of texts, `"manpages"`; the domain is the category;
            - a mapping from category to one of the above.

    Raises:
        DataError: If something cannot be read, or a category holds no text.
        UsageError: If it is none of these.
    """
    if isinstance(source, Mapping):
        if not source:
            raise UsageError("texts: the mapping is empty; give at least one category.")
        found = ((str(name), piece) for name, one in source.items() for piece in _named(one, name))
        return _checked((piece._replace(category=name) for name, piece in found), source)
    return _checked(_plain(source, None), ())


def _named(source: Any, name: str) -> Iterator[Piece]:
    """Pieces of one category of a mapping; what is wrong with it is said with its name."""
    try:
        yield from _plain(source, name)
    except DataError as error:
        raise DataError(f"texts: the category {printable(str(name))!r}: {error}") from error


def _plain(source: Any, name: str | None) -> Iterator[Piece]:
    path = Path(source) if isinstance(source, str | os.PathLike) else None
    if path is not None and path.is_dir():
        return _folder(path)
    if path is not None and path.is_file() and path.suffix.lower() in SUFFIXES:
        return _file(path, path.stem, path.name)
    if isinstance(source, str | os.PathLike | list | tuple) or hasattr(source, "column_names"):
        return _loaded(source, name)
    raise UsageError(
        f"texts: {type(source).__name__} is not read; give a folder, a file, a table, a list of "
        "texts, or a mapping from category to one of these."
    )


def _folder(root: Path) -> Iterator[Piece]:
    own = root.resolve().name
    files = [path for path in walk(root) if path.suffix.lower() in SUFFIXES]
    if not files:
        raise DataError(f"{root}: holds no texts; give a folder with .txt files or the like.")
    found = place(root, files)
    empty = {at.name for at in root.iterdir() if at.is_dir() and not at.name.startswith(".")}
    empty -= {at.relative_to(root).parts[0] for at in files}
    if empty:
        raise DataError(
            f"{root}: the category {printable(min(empty))!r} holds no texts; put text files (.txt) "
            "there, or take the folder away."
        )
    for at in found:
        category = own if at.group is None else printable(at.group)
        name = at.id if at.group is None else at.id.partition("/")[2]
        yield from _file(at.path, category, printable(name))


def _file(path: Path, category: str, name: str) -> Iterator[Piece]:
    try:
        with path.open("rb") as file:
            if file.read(3) != b"\xef\xbb\xbf":
                file.seek(0)
            data = None
            for data in _cut(file):
                yield _decoded(data, category, name)
            if data is None:  # so that an empty category is missed
                yield Piece(category, name, "", 0)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error


def _cut(file: BinaryIO) -> Iterator[bytes]:
    """Parts of at most `PIECE` bytes that end with a line, else a blank, else a character."""
    kept = b""
    while data := file.read(PIECE - len(kept)):
        data = kept + data
        end = len(data)
        if end == PIECE:
            end = data.rfind(b"\n") + 1 or data.rfind(b" ") + 1 or _character(data)
        yield data[:end]
        kept = data[end:]
    if kept:
        yield kept


def _character(data: bytes) -> int:
    """Where the last character that may be cut off begins."""
    for back in range(1, 4):
        if data[-back] >= 0xC0:
            return len(data) - back
        if data[-back] < 0x80:
            break
    return len(data)


def _decoded(data: bytes, category: str, name: str) -> Piece:
    try:
        return Piece(category, name, data.decode(), 0)
    except UnicodeDecodeError:
        text = data.decode(errors="replace")
        return Piece(category, name, text, len(data) - len(data.decode(errors="ignore").encode()))


def _loaded(source: Any, name: str | None) -> Iterator[Piece]:
    data = load_text(source, max_bytes=sys.maxsize)
    for one in data:
        category = name or one.domain or data.name
        for part in _cut(BytesIO(one.text.encode())):
            yield Piece(category, one.id, part.decode(), 0)


def _checked(pieces: Iterable[Piece], wanted: Iterable[str]) -> Iterator[Piece]:
    """The same pieces; at the end, a category that held nothing but blanks is refused."""
    held = {str(name): False for name in wanted}
    for piece in pieces:
        held[piece.category] = held.get(piece.category, False) or bool(piece.text.strip())
        if piece.text:
            yield piece
    for category, text in held.items():
        if not text:
            raise DataError(
                f"texts: the category {category!r} holds no text; give it some, or leave it out."
            )
