"""A csv, jsonl or parquet table with a column of picture paths."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from tokenry.data.examples import Example, ImageData
from tokenry.data.files import SPLITS
from tokenry.data.pictures import Encoded, read_file
from tokenry.errors import DataError, MissingExtraError, UnknownNameError

PATH_COLUMNS = ("path", "image", "file", "filename")
LABEL_COLUMNS = ("label",)
SPLIT_COLUMNS = ("split",)

_Rows = Iterable[dict[str, Any]]
_Table = tuple[list[str], Callable[[list[str]], _Rows]]  # column names; rows of some columns


def table(
    path: Path, path_column: str | None, label_column: str | None, max_pixels: int
) -> ImageData:
    """Read a table; its relative paths start at its own folder, absolute ones stand.

    Without `path_column` it is the first of path, image, file, filename that is there; without
    `label_column` it is `label`, if there. A column `split` gives the split.

    Raises:
        UnknownNameError: a column that was asked for is not there.
        DataError: the table cannot be read, is empty, or lacks a path.
        MissingExtraError: parquet without pyarrow.
    """
    names, fetch = READERS[path.suffix.lower()](path)
    where = find_column(path, names, path_column, PATH_COLUMNS)
    if where is None:
        raise DataError(
            f"{path}: none of its columns ({', '.join(names) or 'none'}) is named "
            f"{', '.join(PATH_COLUMNS)}; pass path_column=."
        )
    label = find_column(path, names, label_column, LABEL_COLUMNS)
    split = find_column(path, names, None, SPLIT_COLUMNS)
    rows = fetch([name for name in (where, label, split) if name])
    ids: Counter[str] = Counter()
    examples = []
    for number, row in enumerate(rows, 1):
        at = row.get(where)
        if not isinstance(at, str) or not at:
            raise DataError(f"{path}: row {number} has no text in column {where!r}; give a path.")
        ids[at] += 1
        examples.append(
            Example(
                at if ids[at] == 1 else f"{at}#{number}",
                text_or_none(row.get(label)) if label else None,
                read_split(path, number, row.get(split)) if split else None,
                None,
                {},
                _picture(path.parent / at, path, number, max_pixels),
            )
        )
    if not examples:
        raise DataError(f"{path}: has no rows; give at least one.")
    return ImageData(path.stem, tuple(examples), license="not stated", source=str(path))


def find_column(
    source: object, names: list[str], given: str | None, usual: tuple[str, ...]
) -> str | None:
    """Return the column that was asked for, or the first with a usual name, or None.

    Raises:
        UnknownNameError: the column that was asked for is not there.
    """
    if given is not None:
        if given not in names:
            known = ", ".join(names) or "none"
            raise UnknownNameError("column", given, names, f"Columns of {source}: {known}.")
        return given
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in usual if name in lower), None)


def text_or_none(value: object) -> str | None:
    """Return a label as text; empty cells have none."""
    return None if value is None or value == "" else str(value)


def read_split(source: object, number: int, value: object) -> str | None:
    """Read the part that a row is of.

    Raises:
        DataError: not the name of a part.
    """
    text = text_or_none(value)
    if text is not None and text.lower() not in SPLITS:
        raise DataError(
            f"{source}: row {number} has split {text!r}; give {', '.join(SPLITS)} or nothing, "
            "or name the column otherwise."
        )
    return None if text is None else SPLITS[text.lower()]


def _picture(file: Path, table: Path, number: int, max_pixels: int) -> Encoded:
    name = f"{file} (row {number} of {table})"
    return Encoded(partial(read_file, file, name, max_pixels), name, max_pixels)


def _csv(path: Path) -> _Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows, names = list(reader), list(reader.fieldnames or ())
    except (OSError, UnicodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 csv ({error}).") from error
    return names, lambda _: rows


def _jsonl(path: Path) -> _Table:
    rows: list[dict[str, Any]] = []
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
            if not line.strip():
                continue
            row = json.loads(line)
            if not isinstance(row, dict):
                raise DataError(f"{path}: line {number} is not a JSON object.")
            rows.append(row)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: line {number} is not JSON ({error.msg}).") from error
    except (OSError, UnicodeError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as jsonl ({error}).") from error
    return list(dict.fromkeys(name for row in rows for name in row)), lambda _: rows


def _parquet(path: Path) -> _Table:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError(f"{path} (parquet)", 'pip install "tokenry[data]"') from error

    def rows(columns: list[str]) -> _Rows:
        try:
            found: list[dict[str, Any]] = pq.read_table(path, columns=columns).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path}: cannot be read as parquet ({error}).") from error
        return found

    try:
        names = list(pq.read_schema(path).names)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as parquet ({error}).") from error
    return names, rows


READERS: dict[str, Callable[[Path], _Table]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
