"""Rows of csv, jsonl and parquet tables, and their columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tokenry.data.files import SPLITS
from tokenry.data.row_streams import csv_names, csv_rows, jsonl_rows
from tokenry.errors import DataError, MissingExtraError, UnknownNameError

_Rows = Iterable[dict[str, Any]]
_Table = tuple[list[str], Callable[[list[str]], _Rows]]  # column names; rows of some columns


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


def read_split(row: str, value: object) -> str | None:
    """Return the part that a row is of.

    Raises:
        DataError: not the name of a part.
    """
    text = text_or_none(value)
    if text is not None and text.lower() not in SPLITS:
        raise DataError(
            f"{row} has split {text!r}; give {', '.join(SPLITS)} or nothing, "
            "or name the column otherwise."
        )
    return None if text is None else SPLITS[text.lower()]


def _csv(path: Path) -> _Table:
    names, rows = csv_names(path), list(csv_rows(path))
    return names, lambda _: rows


def _jsonl(path: Path) -> _Table:
    rows = list(jsonl_rows(path))
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
