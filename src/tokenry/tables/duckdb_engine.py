"""The engine in this process: DuckDB, which joins and sorts within a limit and spills to disk."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenry.errors import MissingExtraError, TokenryError, UsageError
from tokenry.tables.engine import ROWS, Engine, MemoryLimitError, arrow

if TYPE_CHECKING:
    import pyarrow as pa

MEMORY = "1GB"
"""What DuckDB may hold before it spills."""


class DuckDBEngine(Engine):
    """Joins, groups and counts in DuckDB; rules over batches run in Python.

    Joins and groups are views, computed when their rows are fetched.

    Args:
        memory: What DuckDB may hold before it spills, as in "512MB".
        spill: The folder that it spills to; None for a temporary one beside the process.
        disk: The most that it may spill, as in "20GB"; None for what the disk has.
        threads: How many it uses; None for all processors.

    Raises:
        MissingExtraError: If DuckDB is not installed.
        UsageError: If a limit cannot be read.
    """

    name = "duckdb"

    def __init__(
        self,
        *,
        memory: str = MEMORY,
        spill: str | Path | None = None,
        disk: str | None = None,
        threads: int | None = None,
    ) -> None:
        try:
            import duckdb
        except ImportError as error:
            raise MissingExtraError("blocking", 'pip install "tokenry[linking]"') from error
        self.memory, self.spill = memory, spill
        settings = {
            "memory_limit": memory,
            "preserve_insertion_order": "false",
            "temp_directory": None if spill is None else str(spill),
            "max_temp_directory_size": disk,
            "threads": None if threads is None else str(threads),
        }
        self._errors: Any = (duckdb.OutOfMemoryException, duckdb.IOException)
        try:
            self._connection: Any = duckdb.connect(
                ":memory:", config={name: one for name, one in settings.items() if one is not None}
            )
        except duckdb.Error as error:
            raise UsageError(
                f"link: memory={memory!r} or its disk limit cannot be used ({error}); give a size "
                "such as '1GB'."
            ) from None
        self._connection.execute("SET enable_progress_bar = false")
        self._names = (f"t{number}" for number in itertools.count())

    def take(self, table: pa.Table) -> str:
        """Hold a table that is in memory, without a copy."""
        name = next(self._names)
        self._connection.register(name, table)
        return name

    def select(self, table: str, columns: Sequence[str]) -> str:
        """Some columns of a table."""
        return self._view(f"FROM {table} SELECT {', '.join(map(_quoted, columns))}")

    def map_batches(
        self, table: str, rule: Callable[[pa.RecordBatch], pa.Table], schema: pa.Schema
    ) -> str:
        """What a rule makes of each batch; all of that is in memory."""
        made = [rule(batch).cast(schema) for batch in self.batches(table)]
        return self.take(arrow().concat_tables([schema.empty_table(), *made]))

    def equi_join(
        self, left: str, right: str, on: Sequence[str], *, below: tuple[str, str] | None = None
    ) -> str:
        """Pairs of rows that agree in some columns, as a hash join."""
        keys = ", ".join(map(_quoted, on))
        where = f"WHERE {_quoted(below[0])} < {_quoted(below[1])}" if below else ""
        return self._view(f"FROM {left} JOIN {right} USING ({keys}) {where}")

    def group_topk(
        self, table: str, by: Sequence[str], order: Sequence[tuple[str, bool]], k: int
    ) -> str:
        """The first k rows of each group; an aggregate where nothing but the order is kept."""
        groups = ", ".join(map(_quoted, by))
        (first, falls), *others = order
        rest = [c for c in self.schema(table).names if c not in (*by, first)]
        if k == 1 and not rest and not others:
            best = "max" if falls else "min"
            value = _quoted(first)
            return self._view(
                f"FROM {table} SELECT {groups}, {best}({value}) AS {value} GROUP BY {groups}"
            )
        ranks = ", ".join(
            f"{_quoted(column)} {'DESC' if falls else 'ASC'} NULLS LAST" for column, falls in order
        )
        return self._view(
            f"FROM {table} QUALIFY row_number() "
            f"OVER (PARTITION BY {groups} ORDER BY {ranks}) <= {int(k)}"
        )

    def count(self, table: str, by: Sequence[str], name: str) -> str:
        """How many rows each group has."""
        groups = ", ".join(map(_quoted, by))
        return self._view(
            f"FROM {table} SELECT {groups}, count(*) AS {_quoted(name)} GROUP BY {groups}"
        )

    def iterate(self, state: str, step: Callable[[str], str], most: int) -> str:
        """Put a table through a step until nothing changes; each round is written down."""
        for _ in range(most):
            name = next(self._names)
            with self._explained():
                self._connection.execute(f"CREATE TEMP TABLE {name} AS FROM {step(state)}")
                ((changed,),) = self._connection.execute(
                    f"FROM {name} SELECT count(*) WHERE changed"
                ).fetchall()
            state = name
            if not changed:
                return state
        raise TokenryError(f"{self.name}: {changed} rows still change after {most} steps.")

    def batches(self, table: str) -> Iterator[pa.RecordBatch]:
        """The rows as they are computed."""
        with self._explained():
            yield from self._connection.sql(f"FROM {table}").to_arrow_reader(ROWS)

    def schema(self, table: str) -> pa.Schema:
        """The columns of a table and their types."""
        return self._connection.sql(f"FROM {table} LIMIT 0").to_arrow_table().schema

    def close(self) -> None:
        """Let go of all tables and of what was spilled."""
        self._connection.close()

    def _view(self, query: str) -> str:
        name = next(self._names)
        self._connection.execute(f"CREATE TEMP VIEW {name} AS {query}")
        return name

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what to do when the memory, or the disk, does not suffice."""
        try:
            yield
        except self._errors as error:
            where = "" if self.spill is None else f" ({self.spill})"
            raise MemoryLimitError(
                f"link: {self.memory} of memory and the folder to spill to{where} do not suffice "
                f"({str(error).splitlines()[0]}); give more (memory='4GB'), a lower max_block, or "
                "a block that splits the rows further. Finished stages stay in the folder."
            ) from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
