"""What an engine must be able to do: the few operations that all stages over tables are made of.

The same stages run on each engine and bring the same rows, in whatever order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tokenry.errors import MissingExtraError, TokenryError

if TYPE_CHECKING:
    import pyarrow as pa

Held = Any
"""A table as the engine holds it."""
ROWS = 1 << 16
"""Rows of a batch."""


def arrow() -> Any:
    """The package pyarrow.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtraError("linking tables", 'pip install "tokenry[linking]"') from error
    return pa


class MemoryLimitError(TokenryError, MemoryError):
    """An engine needs more memory, or more disk to spill to, than it was given."""


class Engine(ABC):
    """Runs the stages over tables.

    Attributes:
        name: What messages call it.
    """

    name: str

    @abstractmethod
    def take(self, table: pa.Table) -> Held:
        """Hold a table that is in memory."""

    @abstractmethod
    def select(self, table: Held, columns: Sequence[str]) -> Held:
        """Some columns of a table."""

    @abstractmethod
    def map_batches(
        self, table: Held, rule: Callable[[pa.RecordBatch], pa.Table], schema: pa.Schema
    ) -> Held:
        """What a rule makes of each batch of rows, one below the other.

        Args:
            table: The rows, in batches of any size.
            rule: A pure function; it may bring more rows than it got, or fewer.
            schema: Of what it brings.
        """

    @abstractmethod
    def equi_join(
        self, left: Held, right: Held, on: Sequence[str], *, below: tuple[str, str] | None = None
    ) -> Held:
        """Pairs of rows that agree in some columns; NULL agrees with nothing, itself included.

        Args:
            left: One table.
            right: The other one; besides `on` it has no column that the left one has.
            on: The columns, which both have.
            below: Two columns of the result; only rows whose first is less than the second stay.

        Returns:
            The columns of the left table, then those of the right one without `on`.
        """

    @abstractmethod
    def group_topk(
        self, table: Held, by: Sequence[str], order: Sequence[tuple[str, bool]], k: int
    ) -> Held:
        """The first k rows of each group.

        Args:
            table: The rows.
            by: Columns that are equal within a group; NULL is a group like any other.
            order: Columns that rows of a group are sorted by, each with whether it falls.
            k: How many rows of a group stay.
        """

    @abstractmethod
    def count(self, table: Held, by: Sequence[str], name: str) -> Held:
        """How many rows each group has, in a column of the given name beside those of `by`."""

    @abstractmethod
    def iterate(self, state: Held, step: Callable[[Held], Held], most: int) -> Held:
        """Put a table through a step until nothing changes.

        Args:
            state: The table at the start, with a column `changed` of truth values.
            step: What makes the next table of one; it marks the rows that changed.
            most: Steps at most.

        Raises:
            TokenryError: If rows still change after so many steps.
        """

    @abstractmethod
    def batches(self, table: Held) -> Iterator[pa.RecordBatch]:
        """The rows, in batches of about `ROWS`; only one batch need be in memory.

        Raises:
            MemoryLimitError: If the engine's memory does not do.
        """

    def give(self, table: Held) -> pa.Table:
        """The rows in one table."""
        found = list(self.batches(table))
        return arrow().Table.from_batches(found, found[0].schema if found else self.schema(table))

    @abstractmethod
    def schema(self, table: Held) -> pa.Schema:
        """The columns of a table and their types."""

    @abstractmethod
    def close(self) -> None:
        """Let go of all that is held."""
