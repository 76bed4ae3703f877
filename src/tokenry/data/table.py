"""A csv, jsonl or parquet table with a column of picture paths."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

from tokenry.data.examples import Example, ImageData
from tokenry.data.pictures import Encoded, read_file
from tokenry.data.rows import READERS, find_column, read_split, text_or_none
from tokenry.errors import DataError

PATH_COLUMNS = ("path", "image", "file", "filename")
LABEL_COLUMNS = ("label",)
SPLIT_COLUMNS = ("split",)


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
                read_split(f"{path}: row {number}", row.get(split)) if split else None,
                None,
                {},
                _picture(path.parent / at, path, number, max_pixels),
            )
        )
    if not examples:
        raise DataError(f"{path}: has no rows; give at least one.")
    return ImageData(path.stem, tuple(examples), license="not stated", source=str(path))


def _picture(file: Path, table: Path, number: int, max_pixels: int) -> Encoded:
    name = f"{file} (row {number} of {table})"
    return Encoded(partial(read_file, file, name, max_pixels), name, max_pixels)
