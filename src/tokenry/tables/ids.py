"""Records under ids of the caller's: numbers for them, and pairs as two numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from tokenry.errors import DataError, UsageError
from tokenry.tables.engine import arrow
from tokenry.tables.frames import Frame

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 3
"""Ids that a message names."""

Numbers = Int[np.ndarray, " m"]


def numbered(who: str, columns: Mapping[str, Any]) -> tuple[pa.Array, list[Numbers]]:
    """One number for each id of several columns, in the order in which they are first met.

    Args:
        who: The verb, for messages.
        columns: Arrow columns by what messages call them.

    Returns:
        The ids by their numbers, and the numbers of each column.

    Raises:
        DataError: If an id is missing.
        UsageError: If the columns hold different kinds of ids, such as numbers and texts.
    """
    pa = arrow()
    made = {name: _ids(who, name, column) for name, column in columns.items()}
    # A column without a row may have any type.
    kinds = {name: column.type for name, column in made.items() if len(column)}
    if len(set(kinds.values())) > 1:
        told = ", ".join(f"{name} has {kind}" for name, kind in kinds.items())
        raise UsageError(f"{who}: ids must be of one kind; {told}. Cast one of them.")
    kind = next(iter(kinds.values()), pa.int64())
    parts = [column if len(column) else pa.array([], kind) for column in made.values()]
    found = pa.concat_arrays(parts).dictionary_encode()
    numbers = found.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    ends = np.cumsum([len(column) for column in made.values()])
    return found.dictionary, np.split(numbers, ends[:-1])


def unique(who: str, name: str, ids: pa.Array, numbers: Numbers) -> None:
    """Refuse a column of ids that has one twice.

    Raises:
        DataError: If it does.
    """
    values, counts = np.unique(numbers, return_counts=True)
    twice = values[counts > 1]
    if len(twice):
        raise DataError(
            f"{who}: {name} has {len(twice)} ids more than once, such as {shown(ids, twice)}; "
            "one row for each record."
        )


def scores_of(who: str, frame: Frame, column: str | None) -> Float[np.ndarray, " m"] | None:
    """A column of numbers, NaN where there is none; None if the table has no such column.

    Raises:
        DataError: If a value is no number.
    """
    pa = arrow()
    if column is None or column not in frame.table.column_names:
        return None
    values = frame.table.column(column)
    try:
        made = values.cast(pa.float64())
    except (pa.ArrowException, TypeError) as error:
        raise DataError(
            f"{who}: column {column!r} of {frame.name} holds no numbers "
            f"({str(error).splitlines()[0]})."
        ) from error
    return np.asarray(made.to_numpy(), dtype=np.float64)


def shown(ids: pa.Array, numbers: Numbers) -> str:
    """Some of the ids, for messages."""
    return ", ".join(repr(one) for one in ids.take(arrow().array(numbers[:SHOWN])).to_pylist())


def _ids(who: str, name: str, column: Any) -> pa.Array:
    """A column of ids in one piece, whole numbers and texts each in one type."""
    pa = arrow()
    if column.null_count:
        raise DataError(
            f"{who}: {name} has {column.null_count} rows without an id; leave them out or number "
            "them."
        )
    kind = column.type
    if pa.types.is_integer(kind):
        column = column.cast(pa.int64())
    elif pa.types.is_string(kind):
        column = column.cast(pa.large_string())
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
