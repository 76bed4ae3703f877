"""The door: tables of any library, or files, to Arrow, and back in the caller's own type."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenry.errors import UnknownNameError, UsageError
from tokenry.tables.engine import arrow
from tokenry.tables.files import READERS, csv_notes, read_file

if TYPE_CHECKING:
    import pyarrow as pa

ROW = "_row"
"""The column that numbers rows; no table of a caller's may have it."""


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """A caller's table.

    Attributes:
        table: Its columns.
        back: Makes a table of the caller's type of an Arrow table.
        name: What messages call it.
        notes: What had to be changed to read it.
    """

    table: pa.Table
    back: Callable[[pa.Table], Any] = field(repr=False)
    name: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def copy(self, name: str) -> Frame:
        """The same table as another one, under another name."""
        return replace(self, name=name)

    def check(self, who: str, columns: tuple[str, ...]) -> None:
        """Refuse columns that are not there.

        Raises:
            UnknownNameError: If one is not.
        """
        known = self.table.column_names
        for name in columns:
            if name not in known:
                raise UnknownNameError(
                    f"{who}: in {self.name}, column",
                    name,
                    known,
                    f"Its columns: {', '.join(known) or 'none'}.",
                )

    def codes(self, who: str, column: str) -> NDArray[np.int64]:
        """A number for each value of a column, -1 for NULL.

        Raises:
            UnknownNameError: If it is not there.
        """
        self.check(who, (column,))
        codes = self.table.column(column).combine_chunks().dictionary_encode().indices
        return np.asarray(codes.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)


def read(source: Any, name: str = "the table", *, encoding: str | None = None) -> Frame:
    """A table as Arrow.

    Args:
        source: A pandas or polars frame, an Arrow table, a DuckDB relation or anything else that
            gives Arrow streams, a dict of columns, a list of dicts, or the path of a .csv, .tsv,
            .jsonl or .parquet file. Columns of csv files are texts, so that 01234 stays what it is;
            cells may also be separated by semicolons, tabs or bars.
        name: What messages call it.
        encoding: Of a csv or jsonl file; UTF-8 when not given.

    Raises:
        UsageError: If it is none of these, or two columns have one name.
        DataError: If a file cannot be read.
        MissingExtraError: If pyarrow is not installed.

    >>> frame = read([{"name": "Ada", "year": 1815}, {"name": "Alan"}])
    >>> len(frame), frame.table.column("year").to_pylist()
    (2, [1815, None])
    """
    notes: list[str] = []
    if isinstance(source, Frame):
        return source
    if isinstance(source, str | os.PathLike):
        path = Path(source).expanduser()
        table, back = read_file(path, encoding), _as_arrow
        name = f"{name} ({path.name})"
        notes += csv_notes(path, encoding) if path.suffix.lower() in (".csv", ".tsv") else []
    elif encoding is not None:
        raise UsageError(f"link: encoding={encoding!r} is for files; leave it out for {name}.")
    else:
        table, back = _taken(source, name, notes)
    _check_names(table.column_names, name)
    return Frame(_plain(table), back, name, tuple(notes))


def _taken(source: Any, name: str, notes: list[str]) -> tuple[pa.Table, Callable[..., Any]]:
    pa = arrow()
    if isinstance(source, pa.RecordBatch | pa.Table):
        return pa.table(source), _as_arrow
    if isinstance(source, Mapping) or (isinstance(source, list) and _are_rows(source)):
        columns = source if isinstance(source, Mapping) else _columns(source)
        back = _as_columns if isinstance(source, Mapping) else _as_rows
        return _from_columns(columns, name, notes), back
    if type(source).__module__.partition(".")[0] in ("duckdb", "_duckdb"):
        return source.to_arrow_table(), _as_relation
    import narwhals as nw

    if "pandas" in type(source).__module__:  # the only one that allows a name twice
        _check_names([str(one) for one in source.columns], name)
    try:
        frame: Any = nw.from_native(source)
    except TypeError:
        if hasattr(source, "__arrow_c_stream__"):
            return pa.table(source), _as_arrow
        raise UsageError(
            f"link: {name} is a {type(source).__module__}.{type(source).__qualname__}; give a "
            "pandas or polars frame, an Arrow table, a dict of columns, a list of dicts, or the "
            f"path of a file: {', '.join(READERS)}."
        ) from None
    lazy = isinstance(frame, nw.LazyFrame)
    frame = nw.maybe_reset_index(frame.collect() if lazy else frame)
    back = partial(_as_frame, frame.implementation, lazy)
    try:
        return frame.to_arrow(), back
    except (pa.ArrowException, TypeError):  # columns that hold several kinds of values
        columns = {column: frame[column].to_list() for column in frame.columns}
        return _from_columns(columns, name, notes), back


def _from_columns(columns: Mapping[str, Any], name: str, notes: list[str]) -> pa.Table:
    """Arrow of Python's columns; what holds several kinds of values becomes texts, and is noted."""
    pa = arrow()
    made: dict[str, Any] = {}
    for key, values in columns.items():
        listed = list(values)
        try:
            made[str(key)] = pa.array(listed, from_pandas=True)
        except (pa.ArrowException, TypeError, OverflowError):
            missing = [one is None or one != one for one in listed]
            made[str(key)] = pa.array(
                [None if gone else str(one) for one, gone in zip(listed, missing, strict=True)],
                pa.string(),
            )
            notes.append(f"{name}: column {key!r} holds several kinds of values; read as texts.")
    lengths = {key: len(values) for key, values in made.items()}
    if len(set(lengths.values())) > 1:
        raise UsageError(f"link: the columns of {name} differ in length: {lengths}.")
    return pa.table(made)


def _are_rows(source: list[Any]) -> bool:
    return all(isinstance(row, Mapping) for row in source)


def _columns(rows: list[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _check_names(names: list[str], who: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError(
            f"link: {who} has several columns called {', '.join(map(repr, twice))}; rename all "
            "but one of each."
        )
    if ROW in names:
        raise UsageError(f"link: {who} has a column {ROW!r}, which numbers rows here; rename it.")


def _plain(table: pa.Table) -> pa.Table:
    """The table with dictionaries unfolded and views as plain texts: joins want one type."""
    pa = arrow()
    for place, column in enumerate(table.schema):
        kind = column.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_string_view(kind) or pa.types.is_large_string(kind):
            kind = pa.large_string()
        if kind != column.type:
            table = table.set_column(place, column.name, table.column(place).cast(kind))
    return table


def _as_frame(backend: Any, lazy: bool, table: pa.Table) -> Any:
    import narwhals as nw

    found = nw.from_arrow(table, backend=backend)
    return (found.lazy() if lazy else found).to_native()


def _as_arrow(table: pa.Table) -> pa.Table:
    return table


def _as_columns(table: pa.Table) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = table.to_pydict()
    return found


def _as_rows(table: pa.Table) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def _as_relation(table: pa.Table) -> Any:
    import duckdb

    return duckdb.from_arrow(table)
