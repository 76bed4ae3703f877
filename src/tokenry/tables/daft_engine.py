"""The engine that grows: the same plan on Daft, in this process or on a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenry.errors import MissingExtraError, TokenryError, UsageError
from tokenry.tables.duckdb_engine import MEMORY
from tokenry.tables.engine import ROWS, Engine, arrow
from tokenry.tables.spread import untravelled

if TYPE_CHECKING:
    import pyarrow as pa

_MADE = "_made"
_PLACE = "_place"


class DaftEngine(Engine):
    """Joins, groups and counts in Daft; rules run on batches wherever Daft puts them.

    Tables are plans: nothing is computed before rows are fetched. Daft runs them in this process,
    or where `daft.set_runner_ray(...)` sent it before.

    Args:
        threads: How many processors a rule may use at a time; None for what Daft takes.
        memory: Only the usual limit, which Daft does not know: it sets its own.
        spill: Where others spill to; Daft has a folder of its own.

    Raises:
        MissingExtraError: If Daft is not installed.
        UsageError: If it should keep to another limit of memory.
    """

    name = "daft"

    def __init__(
        self, *, threads: int | None = None, memory: str = MEMORY, spill: Path | None = None
    ) -> None:
        if memory != MEMORY:
            raise UsageError(
                f"daft: memory={memory!r} cannot be kept, Daft sets its own limits; leave it out, "
                "or take the engine duckdb."
            )
        del spill
        # Daft tells its makers of every import unless it is told not to.
        os.environ.setdefault("DO_NOT_TRACK", "true")
        try:
            import daft
        except ImportError as error:
            raise MissingExtraError("the engine daft", 'pip install "tokenry[linking]"') from error
        self._daft: Any = daft
        self._threads = threads

    def take(self, table: pa.Table) -> Any:
        """Hold a table that is in memory."""
        return self._daft.from_arrow(table)

    def select(self, table: Any, columns: Sequence[str]) -> Any:
        """Some columns of a table."""
        return table.select(*columns)

    def map_batches(
        self, table: Any, rule: Callable[[pa.RecordBatch], pa.Table], schema: pa.Schema
    ) -> Any:
        """What a rule makes of each batch.

        Daft wants as many rows as it gave: a batch's first row gets all that the rule made, the
        others nothing, and then the rows are unfolded.

        Raises:
            UsageError: If the rule holds what cannot be sent to other processes.
        """
        pa, daft = arrow(), self._daft
        names = table.column_names
        kind = daft.DataType.from_arrow_type(pa.large_list(pa.struct(list(schema))))

        def made(*columns: Any) -> Any:
            batch = pa.RecordBatch.from_arrays([one.to_arrow() for one in columns], names=names)
            found = rule(batch).cast(schema).combine_chunks()
            parts = [
                one.combine_chunks() if one.num_chunks else pa.array([], one.type)
                for one in found.columns
            ]
            rows = pa.StructArray.from_arrays(parts, fields=list(schema))
            ends = pa.array([0] + [len(rows)] * len(batch), pa.int64())
            return daft.Series.from_arrow(pa.LargeListArray.from_arrays(ends, rows))

        spread = daft.func.batch(return_dtype=kind, max_concurrency=self._threads, batch_size=ROWS)(
            made
        )
        try:
            call = spread(*(daft.col(name) for name in names))
        except ValueError as error:
            raise untravelled(self.name, error) from error
        folded = table.select(call.alias(_MADE))
        unfolded = folded.explode(_MADE, ignore_empty_and_null=True)
        get = daft.functions.get
        return unfolded.select(*(get(daft.col(_MADE), name).alias(name) for name in schema.names))

    def equi_join(
        self, left: Any, right: Any, on: Sequence[str], *, below: tuple[str, str] | None = None
    ) -> Any:
        """Pairs of rows that agree in some columns."""
        names = [*left.column_names, *(one for one in right.column_names if one not in on)]
        joined = left.join(right, on=list(on), how="inner").select(*names)
        if below is None:
            return joined
        first, second = map(self._daft.col, below)
        return joined.where(first < second)

    def group_topk(
        self, table: Any, by: Sequence[str], order: Sequence[tuple[str, bool]], k: int
    ) -> Any:
        """The first k rows of each group; an aggregate where nothing but the order is kept."""
        daft = self._daft
        (first, falls), *others = order
        if k == 1 and not others and set(table.column_names) == {*by, first}:
            value = daft.col(first)
            best = table.groupby(*by).agg(value.max() if falls else value.min())
            return best.select(*table.column_names)
        columns, directions = zip(*order, strict=True)
        window = daft.Window().partition_by(*by)
        window = window.order_by(*columns, desc=list(directions), nulls_first=False)
        ranked = table.with_column(_PLACE, daft.functions.row_number().over(window))
        return ranked.where(daft.col(_PLACE) <= k).exclude(_PLACE).select(*table.column_names)

    def count(self, table: Any, by: Sequence[str], name: str) -> Any:
        """How many rows each group has."""
        daft = self._daft
        rows = daft.lit(1).cast(daft.DataType.int64())
        return table.with_column(name, rows).groupby(*by).agg(daft.col(name).sum())

    def iterate(self, state: Any, step: Callable[[Any], Any], most: int) -> Any:
        """Put a table through a step until nothing changes; each round is computed once."""
        for _ in range(most):
            state = step(state).collect()
            changed = state.where(self._daft.col("changed")).count_rows()
            if not changed:
                return state
        raise TokenryError(f"{self.name}: {changed} rows still change after {most} steps.")

    def batches(self, table: Any) -> Iterator[pa.RecordBatch]:
        """The rows as they are computed."""
        schema = self.schema(table)
        for batch in table.to_arrow_iter():
            for start in range(0, len(batch), ROWS):
                yield (
                    arrow()
                    .Table.from_batches([batch.slice(start, ROWS)])
                    .cast(schema)
                    .combine_chunks()
                    .to_batches()[0]
                )

    def schema(self, table: Any) -> pa.Schema:
        """The columns of a table and their types."""
        return table.schema().to_pyarrow_schema()

    def close(self) -> None:
        """Nothing is held but plans."""
