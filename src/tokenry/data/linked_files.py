"""Tables with gold in files of your own, and labelled pairs as ditto packs them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from tokenry.data.linked import LabelledPairs, LinkedData
from tokenry.errors import DataError, MissingExtraError, UnknownNameError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".csv", ".tsv", ".parquet")
PARTS = ("train", "valid", "test")
ID = "id"
MAX_FILE = 4 * 2**30

_CELL = re.compile(r"COL (\S+) VAL ?(.*?)(?=\s*COL \S+ VAL|\s*$)", re.DOTALL)


def arrow() -> Any:
    """The package pyarrow, with its parquet.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("load_linked", 'pip install "tokenry[linking]"') from error
    return pa


def read(
    path: Path,
    right: Any = None,
    matches: Any = None,
    *,
    id: str | None = None,
    entity: str | None = None,
) -> LinkedData:
    """A folder, two files with a third that names the matches, or one with a column of entities.

    Raises:
        UsageError: If files do not go together.
        DataError: If one cannot be read, or gold names a row that is not there.
    """
    if path.is_dir():
        if not (right is None and matches is None and entity is None):
            raise UsageError(f"load_linked: {path} is a folder; leave other files out.")
        if any((path / f"{part}.txt").is_file() for part in PARTS):
            return packed(path)
        return _two(path.name, [_inside(path, stem) for stem in ("left", "right", "matches")], id)
    if entity is not None:
        if right is not None or matches is not None:
            raise UsageError("load_linked: entity is for one table; leave right and matches out.")
        return grouped(path.stem, table(path), entity, source=str(path))
    if right is None or matches is None:
        raise UsageError(
            f"load_linked: {path} is a table; give right and matches, or entity, the column that "
            "names the thing that a row is."
        )
    files = [path, *(Path(one).expanduser() for one in (right, matches))]
    return _two(path.stem, files, id)


def table(path: Path, missing: Sequence[str] = ("",)) -> pa.Table:
    """A table; cells of text files are texts, None where they hold nothing or one of `missing`.

    Raises:
        DataError: If it cannot be read as what its suffix says.
    """
    pa = arrow()
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: is not read; give {', '.join(SUFFIXES)}.")
    try:
        if path.stat().st_size > MAX_FILE:
            raise DataError(f"{path}: is larger than {MAX_FILE:,} bytes.")
        if suffix == ".parquet":
            return pa.parquet.read_table(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = "\t" if suffix == ".tsv" else ","
            rows = list(csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True))
    except (OSError, UnicodeError, csv.Error, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as {suffix[1:]} ({error}).") from error
    names = [name.strip() for name in rows[0]] if rows else []
    if len(set(names)) < len(names):
        raise DataError(f"{path}: two columns have the same name, of {', '.join(names)}.")
    for number, row in enumerate(rows, 1):
        if row and len(row) != len(names):
            raise DataError(f"{path}: row {number} has {len(row)} cells, not {len(names)}.")
    cells = [[_cell(row[at], missing) for row in rows[1:] if row] for at in range(len(names))]
    return pa.table({n: pa.array(c, pa.string()) for n, c in zip(names, cells, strict=True)})


def grouped(name: str, records: pa.Table, entity: str, **about: Any) -> LinkedData:
    """One table whose rows are named by a column; that column is no key.

    Raises:
        UnknownNameError: If there is no such column.
    """
    if entity not in records.column_names:
        raise UnknownNameError("column", entity, records.column_names, f"In {name}.")
    given = records.column(entity).to_pylist()
    number = {one: at for at, one in enumerate(dict.fromkeys(g for g in given if g is not None))}
    numbers = np.array([number.get(one, -1) for one in given], dtype=np.int64)
    rest = records.drop_columns([entity])
    about.setdefault("on", tuple(column for column in rest.column_names if column != ID))
    return LinkedData(name=name, left=rest, matches=pairs_of(numbers), entity=numbers, **about)


def pairs_of(entity: Int[np.ndarray, " n"]) -> Int[np.ndarray, "m 2"]:
    """All pairs of rows of one entity, in order; -1 is none.

    >>> pairs_of(np.array([4, 7, -1, 4, -1, 4])).tolist()
    [[0, 3], [0, 5], [3, 5]]
    """
    rows = np.flatnonzero(entity >= 0)
    rows = rows[np.argsort(entity[rows], kind="stable")]
    groups = np.split(rows, np.flatnonzero(np.diff(entity[rows])) + 1)
    found = [np.zeros((0, 2), np.int64)]
    for group in groups:
        if len(group) > 1:
            one, other = np.triu_indices(len(group), 1)
            found.append(np.column_stack([group[one], group[other]]))
    both = np.concatenate(found)
    return both[np.lexsort((both[:, 1], both[:, 0]))]


def rows(pairs: Sequence[Sequence[int]]) -> Int[np.ndarray, "m 2"]:
    """Pairs as an array, of none too."""
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def named_pairs(
    given: pa.Table, sides: Sequence[pa.Table], ids: Sequence[str | None], where: str
) -> Int[np.ndarray, "m 2"]:
    """Rows that the first two columns of a table name.

    Args:
        given: The table.
        sides: The left and the right table.
        ids: Their columns of ids; None where rows go by their numbers.
        where: What messages call the table.

    Raises:
        DataError: If it has one column only, or names what is not there or is there twice.
    """
    if given.num_columns < 2:
        raise DataError(f"{where}: has {given.num_columns} columns; give left and right.")
    columns = []
    for at, (side, id) in enumerate(zip(sides, ids, strict=True)):
        every = range(side.num_rows) if id is None else side.column(id).to_pylist()
        places = {str(one): row for row, one in enumerate(every)}
        if len(places) < side.num_rows:
            raise DataError(f"{where}: the column {id!r} of a table holds an id twice.")
        wanted = [str(one) for one in given.column(at).to_pylist()]
        absent = next((one for one in wanted if one not in places), None)
        if absent is not None:
            what = "row number" if id is None else id
            raise DataError(f"{where}: names the {what} {absent!r}, which is not in the table.")
        columns.append([places[one] for one in wanted])
    return rows(list(zip(*columns, strict=True)))


def packed(folder: Path) -> LinkedData:
    """Labelled pairs as ditto packs ER-Magellan; each distinct record is a row of its table.

    Raises:
        DataError: If a line is not two records and a label.
    """
    pa = arrow()
    rows: tuple[dict[str, int], dict[str, int]] = ({}, {})
    parts = {}
    for part in PARTS:
        path = folder / f"{part}.txt"
        if path.is_file():
            lines = list(_lines(path))
            left, right = (
                [rows[at].setdefault(line[at], len(rows[at])) for line in lines] for at in (0, 1)
            )
            same = [line[2] == "1" for line in lines]
            parts[part] = LabelledPairs(
                np.array(left, np.int64), np.array(right, np.int64), np.array(same, bool)
            )
    sides = [_records(pa, side) for side in rows]
    every = [np.column_stack(part[:2])[part.same] for part in parts.values()]
    return LinkedData(
        name=folder.name,
        source=str(folder),
        left=sides[0],
        right=sides[1],
        on=_shared(sides),
        matches=np.unique(np.concatenate(every), axis=0),
        parts=parts,
    )


def _lines(path: Path) -> Iterator[list[str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 ({error}).") from error
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) != 3 or cells[2] not in ("0", "1"):
            raise DataError(
                f"{path}: line {number} is not a record, a tab, a record, a tab, 0 or 1."
            )
        yield cells


def _records(pa: Any, texts: Iterable[str]) -> pa.Table:
    rows = [{name: value.strip() or None for name, value in _CELL.findall(text)} for text in texts]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({n: pa.array([row.get(n) for row in rows], pa.string()) for n in names})


def _two(name: str, files: Sequence[Path], id: str | None) -> LinkedData:
    left, right, given = (table(file) for file in files)
    sides = [left, right]
    if id is not None:
        for side in sides:
            if id not in side.column_names:
                raise UnknownNameError("column", id, side.column_names)
    usual = id or (ID if all(ID in side.column_names for side in sides) else None)
    pairs = named_pairs(given, sides, (usual, usual), str(files[2]))
    return LinkedData(
        name=name,
        source=str(files[0]),
        left=left,
        right=right,
        on=tuple(column for column in _shared(sides) if column != usual),
        matches=pairs,
    )


def _shared(sides: Sequence[pa.Table]) -> tuple[str, ...]:
    return tuple(name for name in sides[0].column_names if name in sides[1].column_names)


def _inside(folder: Path, stem: str) -> Path:
    for suffix in SUFFIXES:
        if (folder / f"{stem}{suffix}").is_file():
            return folder / f"{stem}{suffix}"
    raise DataError(
        f"{folder}: holds no {stem}.csv or {stem}.parquet; give a folder with left, right and "
        "matches, or with train.txt, valid.txt and test.txt as ditto packs pairs."
    )


def _cell(text: str, missing: Sequence[str]) -> str | None:
    cell = text.strip()
    return None if cell in missing else cell
