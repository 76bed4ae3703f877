"""Tables as linkers see them: keys normalised, columns made into lists when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokenry.errors import UsageError
from tokenry.method import Side
from tokenry.ops.fields import joined
from tokenry.tables import normalise
from tokenry.tables.engine import ROWS, arrow
from tokenry.tables.frames import Frame

if TYPE_CHECKING:
    import pyarrow as pa


class Columns(Mapping[str, Sequence[Any]]):
    """Columns of an Arrow table as lists, each made when it is first asked for."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._made: dict[str, Sequence[Any]] = {}

    def __getitem__(self, name: str) -> Sequence[Any]:
        if name not in self._made:
            self._made[name] = self._table.column(name).to_pylist()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.column_names)

    def __len__(self) -> int:
        return int(self._table.num_columns)


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class TableSide(Side):
    """A side whose columns are an Arrow table's.

    Attributes:
        table: The columns.
    """

    table: pa.Table

    def texts(self, separator: str = " ") -> list[str | None]:
        """The key columns of each row in one text; None where all are empty."""
        found: list[str | None] = []
        for batch in self.table.select(list(self.keys)).to_batches(max_chunksize=ROWS):
            rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
            found += [separator.join(one for one in row if one is not None) or None for row in rows]
        return found


def listed(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Names of columns, given as one, several or none."""
    return () if given is None else (given,) if isinstance(given, str) else tuple(given)


def texts_of(frame: Frame, names: Sequence[str], separator: str) -> list[str]:
    """The columns of each row in one text, as they are; "" where all are empty."""
    keys = normalised(frame, names, normalise.rule("none"))
    found = joined([keys.column(name).to_pylist() for name in names], separator)
    return [one or "" for one in found]


def named(
    on: str | Sequence[str] | None,
    left_on: str | Sequence[str] | None,
    right_on: str | Sequence[str] | None,
    left: Frame,
    right: Frame,
    who: str = "link",
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The key columns of both tables, in the order in which they were given.

    Raises:
        UsageError: If none or different numbers of them are given, or one twice.
        UnknownNameError: If one is not there.
    """
    if on is None and (left_on is None) != (right_on is None):
        raise UsageError(f"{who}: left_on and right_on go together; one of them was not given.")
    if on is not None and left_on is not None:
        raise UsageError(f"{who}: give on, or left_on and right_on, not both.")
    first = listed(on if left_on is None else left_on)
    second = listed(on if right_on is None else right_on)
    if not first:
        shared = [name for name in left.table.column_names if name in right.table.column_names]
        raise UsageError(
            f"{who}: no key columns; give on=[...] of {', '.join(shared) or 'none in common'}, or "
            "left_on and right_on."
        )
    if len(first) != len(second):
        raise UsageError(
            f"{who}: left_on names {len(first)} columns and right_on {len(second)}; they go "
            "together one by one."
        )
    if len(set(first)) < len(first) or len(set(second)) < len(second):
        raise UsageError(f"{who}: a key column is named twice in {first} or {second}.")
    left.check(who, first)
    right.check(who, second)
    return first, second


def normalised(frame: Frame, columns: Iterable[str], own: Callable[[str], str | None]) -> pa.Table:
    """Columns as they are compared, under their own names."""
    made = {name: normalise.column(frame.table.column(name), own, name) for name in columns}
    return arrow().table(made)


def side(frame: Frame, made: pa.Table, columns: Sequence[str], names: Sequence[str]) -> Side:
    """A table as a linker sees it: normalised keys, and the other columns as they came.

    Args:
        frame: The table.
        made: Its columns as they are compared.
        columns: Which of them are keys.
        names: What the keys are called on both sides.
    """
    table = frame.table
    for column, name in zip(columns, names, strict=True):
        keys = made.column(column)
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, keys)
        else:
            table = table.append_column(name, keys)
    return TableSide(columns=Columns(table), keys=tuple(names), count=len(frame), table=table)
