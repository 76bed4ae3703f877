"""Files of tables: csv, tsv, jsonl and parquet, read and written."""

from __future__ import annotations

import atexit
import csv
import os
import tempfile
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenry.errors import DataError, StoreError, UsageError
from tokenry.tables.engine import MemoryLimitError, arrow

if TYPE_CHECKING:
    import pyarrow as pa

LARGE = 64 << 20
"""Bytes of a csv or parquet file up to which it is held in memory."""
_FORMULA = "^[=+\\-@\\t\\r]"
"""How a cell begins that spreadsheets take for a formula (OWASP, CSV injection)."""
SEPARATORS = (",", ";", "\t", "|")
"""What may stand between the cells of a csv file."""
_LOOKED_AT = 20  # rows that say which of them does
_NUMBER = "^[+-]?[0-9.,]+([eE][+-]?[0-9]+)?$"


def read_file(path: Path, encoding: str | None = None) -> pa.Table:
    """A file as Arrow.

    Args:
        path: A .csv, .tsv, .jsonl or .parquet file.
        encoding: Of text files; UTF-8, with or without a mark at its start, when not given.

    Raises:
        DataError: If it cannot be read.
        MemoryLimitError: If it does not fit into memory.
        UsageError: If its ending is another.
    """
    reader = READERS.get(path.suffix.lower())
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    if reader is None:
        raise UsageError(f"{path}: is not read; give a table: {', '.join(READERS)}.")
    pa = arrow()
    try:
        return reader(path, _marked(path, encoding))
    except UnicodeError as error:
        raise _not_encoded(path, encoding, error) from error
    except MemoryError as error:
        raise MemoryLimitError(
            f"{path}: does not fit into the memory of this process ({error or 'no more memory'}); "
            "give it more, or a .parquet file."
        ) from error
    except LookupError as error:
        raise UsageError(f"{path}: encoding={encoding!r} is unknown; try 'latin-1'.") from error
    except (pa.ArrowException, OSError, csv.Error) as error:
        if "UTF8" in str(error) or "UTF-8" in str(error) or "codec" in str(error):
            raise _not_encoded(path, encoding, error) from error
        raise DataError(f"{path}: cannot be read ({_wrong(path, encoding, error)}).") from error


def _wrong(path: Path, encoding: str | None, error: Exception) -> str:
    """What is wrong with a file, and in which row where that can be told."""
    said = str(error).splitlines()[0]
    if "Expected" not in said or path.suffix.lower() not in (".csv", ".tsv"):
        return said
    mark = "\t" if path.suffix.lower() == ".tsv" else separator(path, encoding)
    with path.open(encoding=encoding or "utf-8-sig", newline="") as file:
        rows = enumerate(filter(None, csv.reader(file, delimiter=mark)), 1)
        wide = len(next(rows)[1])
        other = next((number for number, row in rows if len(row) != wide), None)
    where = "" if other is None else f"; the first such row is number {other}"
    return f"{said}{where}; a cell with {mark!r} in it stands in quotation marks"


def _marked(path: Path, encoding: str | None) -> str | None:
    """The encoding, but for files with the mark of UTF-8, which are that whatever others are."""
    with path.open("rb") as file:
        return None if file.read(3) == b"\xef\xbb\xbf" else encoding


def _not_encoded(path: Path, encoding: str | None, error: Exception) -> DataError:
    given = encoding or "UTF-8"
    with path.open("rb") as file:
        start = file.read(1 << 20)
    likely = "latin-1"
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        likely = "utf-16"
    elif any(0x80 <= byte < 0xA0 for byte in start):  # controls there, quotes and dashes here
        likely = "cp1252"
    return DataError(
        f"{path}: is not {given} ({str(error).splitlines()[0]}); say what it is, as in "
        f"encoding={likely!r} (on the command line --encoding {likely})."
    )


def _csv(path: Path, encoding: str | None, delimiter: str | None = None) -> pa.Table:
    pa = arrow()
    import pyarrow.csv as arrow_csv

    if not path.stat().st_size:
        raise DataError(f"{path}: is empty; its first line names the columns.")
    mark = separator(path, encoding) if delimiter is None else delimiter
    names = _header(path, encoding, mark)
    texts = arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.large_string()),
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
        null_values=[""],
    )
    given: Any = {
        "parse_options": arrow_csv.ParseOptions(delimiter=mark, newlines_in_values=True),
        "read_options": arrow_csv.ReadOptions(encoding=encoding or "utf8", block_size=8 << 20),
        "convert_options": texts,
    }
    if path.stat().st_size <= LARGE:
        table = arrow_csv.read_csv(path, **given)
    else:
        with arrow_csv.open_csv(path, **given) as reader:
            table = _spooled(reader.schema, reader)
    return table.rename_columns(_trimmed(table.column_names))


def csv_notes(path: Path, encoding: str | None = None) -> list[str]:
    """What a reader of a csv or tsv file should know of how it was read."""
    tabs = path.suffix.lower() == ".tsv"
    encoding = _marked(path, encoding)
    mark = "\t" if tabs else separator(path, encoding)
    names = _header(path, encoding, mark)
    notes = []
    if mark != "," and not tabs:
        notes.append(f"{path}: its cells are separated by {mark!r}, not by commas.")
    if _trimmed(names) != names:
        notes.append(f"{path}: spaces around the names of its columns were taken off.")
    return notes


def _trimmed(names: list[str]) -> list[str]:
    """Names without spaces around them, unless two would be the same then.

    >>> _trimmed(["id", " name"]), _trimmed(["a", " a"])
    (['id', 'name'], ['a', ' a'])
    """
    found = [name.strip() or name for name in names]
    return found if len(set(found)) == len(set(names)) else names


def separator(path: Path, encoding: str | None = None) -> str:
    """What stands between the cells of a csv file, told by its first rows.

    The first of `SEPARATORS` that gives all of them as many cells, and more than one; a comma where
    none does. Spreadsheets of many countries write semicolons.
    """
    for mark in SEPARATORS:
        with path.open(encoding=encoding or "utf-8-sig", newline="") as file:
            try:
                rows = islice(filter(None, csv.reader(file, delimiter=mark)), _LOOKED_AT)
                widths = {len(row) for row in rows}
            except csv.Error:  # a quotation mark that is none with this separator
                continue
        if len(widths) == 1 and widths != {1}:
            return mark
    return ","


def _header(path: Path, encoding: str | None, delimiter: str) -> list[str]:
    with path.open(encoding=encoding or "utf-8-sig", newline="") as file:
        return next(csv.reader(file, delimiter=delimiter), [])


def _tsv(path: Path, encoding: str | None) -> pa.Table:
    return _csv(path, encoding, "\t")


def _jsonl(path: Path, encoding: str | None) -> pa.Table:
    from pyarrow import json

    if encoding is None or encoding.lower().replace("-", "") == "utf8":
        table = json.read_json(path)
        table.validate(full=True)  # it does not look at the bytes of texts by itself
        return table
    content = path.read_bytes().decode(encoding).encode()
    return json.read_json(arrow().BufferReader(content))


def _parquet(path: Path, encoding: str | None) -> pa.Table:
    from pyarrow import parquet

    if encoding is not None:
        raise UsageError(f"{path}: encoding={encoding!r} is for text files; leave it out.")
    if path.stat().st_size <= LARGE:
        return parquet.read_table(path)
    with parquet.ParquetFile(path) as file:
        return _spooled(file.schema_arrow, file.iter_batches())


def _spooled(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> pa.Table:
    """A table that lies in a temporary file and is mapped: only what is looked at is in memory."""
    pa = arrow()
    number, name = tempfile.mkstemp(prefix="tokenry-", suffix=".arrow")
    os.close(number)
    try:
        with pa.OSFile(name, "wb") as file, pa.ipc.new_file(file, schema) as writer:
            for batch in batches:
                writer.write(batch)
        return pa.ipc.open_file(pa.memory_map(name)).read_all()
    finally:
        _forget(Path(name))


def _forget(path: Path) -> None:
    """Remove a mapped file: at once where the system lets us, otherwise at the end."""
    try:
        path.unlink()
    except OSError:
        atexit.register(path.unlink, missing_ok=True)


READERS: dict[str, Callable[[Path, str | None], Any]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}


def check_ending(path: Path) -> None:
    """Refuse a file that `write_file` could not write.

    Raises:
        UsageError: If the ending is another.
    """
    if path.suffix.lower() not in _WRITERS:
        raise UsageError(f"{path}: cannot be written; its ending may be {', '.join(_WRITERS)}.")


def write_file(table: pa.Table, path: Path, *, formulas: bool = False) -> None:
    """Write a table; the ending says how.

    A spreadsheet runs cells that begin like a formula. In csv and tsv files such texts get an
    apostrophe in front, unless they are numbers.

    Args:
        table: What is written.
        path: A .csv, .tsv, .jsonl or .parquet file; one that is there is replaced, whole.
        formulas: Leave cells as they are.

    Raises:
        UsageError: If the ending is another.
        StoreError: If it cannot be written.
    """
    check_ending(path)
    writer = _WRITERS[path.suffix.lower()]
    part = path.with_name(f".{path.name}.part")
    try:
        writer(table if formulas or writer not in (_to_csv, _to_tsv) else _harmless(table), part)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StoreError(f"{path}: cannot be written ({error}).") from error


def _harmless(table: pa.Table) -> pa.Table:
    from pyarrow import compute as pc

    pa = arrow()
    for place, column in enumerate(table.schema):
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            cells = table.column(place)
            risky = pc.and_(
                pc.match_substring_regex(cells, _FORMULA),
                pc.invert(pc.match_substring_regex(cells, _NUMBER)),
            )
            marked = pc.binary_join_element_wise(
                pa.scalar("'", column.type), cells, pa.scalar("", column.type)
            )
            table = table.set_column(place, column.name, pc.if_else(risky, marked, cells))
    return table.rename_columns(
        [f"'{name}" if name[:1] in tuple("=+-@\t\r") else name for name in table.column_names]
    )


def _to_csv(table: pa.Table, path: Path, delimiter: str = ",") -> None:
    import pyarrow.csv as arrow_csv

    arrow_csv.write_csv(_flat(table), path, arrow_csv.WriteOptions(delimiter=delimiter))


def _to_tsv(table: pa.Table, path: Path) -> None:
    _to_csv(table, path, "\t")


def _flat(table: pa.Table) -> pa.Table:
    """The table with nested values as JSON, which csv can hold."""
    import json

    pa = arrow()
    for place, column in enumerate(table.schema):
        if pa.types.is_nested(column.type):
            cells = [
                None if cell is None else json.dumps(cell, default=str, ensure_ascii=False)
                for cell in table.column(place).to_pylist()
            ]
            table = table.set_column(place, column.name, pa.array(cells, pa.string()))
    return table


def _to_jsonl(table: pa.Table, path: Path) -> None:
    import json

    with path.open("w", encoding="utf-8") as file:
        for batch in table.to_batches(max_chunksize=1 << 14):
            for row in batch.to_pylist():
                file.write(json.dumps(row, default=str, ensure_ascii=False) + "\n")


def _to_parquet(table: pa.Table, path: Path) -> None:
    from pyarrow import parquet

    parquet.write_table(table, path)


_WRITERS: dict[str, Callable[[Any, Path], None]] = {
    ".csv": _to_csv,
    ".tsv": _to_tsv,
    ".jsonl": _to_jsonl,
    ".parquet": _to_parquet,
}
