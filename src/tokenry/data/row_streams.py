"""Rows of tables one after the other: any number of them, and none is kept."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenry.errors import DataError, MissingExtraError

Row = dict[str, Any]

UTF8 = "utf-8-sig"
"""With or without the mark that some programs begin it with."""

_BATCH = 1 << 10  # rows of parquet that are read together
_LONGEST = 1 << 24  # letters of a csv cell; Python's own limit is 131,072, less than a long text


@dataclass(frozen=True, slots=True)
class RowTable:
    """A table that was read once from end to end, so that what is wrong with it is known.

    Attributes:
        names: Of its columns.
        count: Of its rows.
        rows: Reads them, from the first on.
    """

    names: list[str]
    count: int
    rows: Callable[[], Iterator[Row]]


def csv_names(path: Path, encoding: str = UTF8) -> list[str]:
    """The columns of a csv table.

    Raises:
        DataError: If it cannot be read.
    """
    with _as_csv(path, encoding), path.open(encoding=encoding, newline="") as file:
        return list(csv.DictReader(file, strict=True).fieldnames or ())


def csv_rows(path: Path, encoding: str = UTF8) -> Iterator[Row]:
    """The rows of a csv table.

    Raises:
        DataError: If it cannot be read.
    """
    with _as_csv(path, encoding), path.open(encoding=encoding, newline="") as file:
        yield from csv.DictReader(file, strict=True)


@contextmanager
def _as_csv(path: Path, encoding: str) -> Iterator[None]:
    before = csv.field_size_limit(_LONGEST)
    try:
        yield
    except (OSError, UnicodeError, csv.Error) as error:
        read = "UTF-8" if encoding == UTF8 else encoding
        raise DataError(f"{path}: cannot be read as {read} csv ({error}).") from error
    finally:
        csv.field_size_limit(before)


def jsonl_rows(path: Path, encoding: str = UTF8) -> Iterator[Row]:
    """The objects of a jsonl table, one a line; empty lines are passed over.

    Raises:
        DataError: If it cannot be read, or a line is no object.
    """
    number = 0
    try:
        with path.open(encoding=encoding, newline="\n") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise DataError(f"{path}: line {number} is not a JSON object.")
                yield row
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: line {number} is not JSON ({error.msg}).") from error
    except (OSError, UnicodeError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as jsonl ({error}).") from error


def _csv(path: Path, encoding: str) -> RowTable:
    count = sum(1 for _ in csv_rows(path, encoding))
    return RowTable(csv_names(path, encoding), count, lambda: csv_rows(path, encoding))


def _jsonl(path: Path, encoding: str) -> RowTable:
    names: dict[str, None] = {}
    count = 0
    rows = jsonl_rows(path, encoding)
    for count, row in enumerate(rows, 1):  # noqa: B007 - the last number counts
        names |= dict.fromkeys(row)
    return RowTable(list(names), count, lambda: jsonl_rows(path, encoding))


def _parquet(path: Path, encoding: str) -> RowTable:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError(f"{path} (parquet)", 'pip install "tokenry[data]"') from error

    @contextmanager
    def explained() -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path}: cannot be read as parquet ({error}).") from error

    def rows() -> Iterator[Row]:
        with explained(), pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH):
                yield from batch.to_pylist()

    with explained(), pq.ParquetFile(path) as file:
        return RowTable(list(file.schema_arrow.names), file.metadata.num_rows, rows)


_KINDS = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
ROW_SUFFIXES = tuple(_KINDS)
"""Of tables that are read."""


def row_table(path: Path, encoding: str = UTF8) -> RowTable:
    """A .csv, .jsonl or .parquet table to be read row by row.

    Args:
        path: Where it is.
        encoding: Of csv and jsonl.

    Raises:
        DataError: If it cannot be read; of csv and jsonl every row is looked at.
        MissingExtraError: If it is parquet and pyarrow is not installed.
    """
    return _KINDS[path.suffix.lower()](path, encoding)
