"""The engine for those who have Spark: the same plan, with rules run by `mapInArrow`."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pickle import PicklingError
from typing import TYPE_CHECKING, Any

from tokenry.errors import MissingExtraError, TokenryError, UsageError
from tokenry.tables.engine import ROWS, Engine, arrow
from tokenry.tables.spread import untravelled

if TYPE_CHECKING:
    import pyarrow as pa

_PLACE = "_place"


class SparkEngine(Engine):
    """Joins, groups and counts in Spark; rules run where its rows lie.

    Tables are plans of Spark's: nothing is computed before rows are fetched. What a rule needs
    travels to the workers with it, and the workers need tokenry installed.

    Args:
        spark: A `SparkSession`; None for the one that is open, or a new one.

    Raises:
        MissingExtraError: If pyspark is not installed.
        UsageError: If there is no Java to start Spark with.
    """

    name = "spark"

    def __init__(self, spark: Any = None) -> None:
        try:
            from pyspark.sql import SparkSession, functions
        except ImportError as error:
            raise MissingExtraError("the engine spark", 'pip install "tokenry[spark]"') from error
        if spark is None and not has_java():
            raise UsageError(
                "spark: there is no Java; install a Java runtime, 17 or newer, and put it on PATH "
                "or into JAVA_HOME, or give the SparkSession of a cluster."
            )
        self._functions: Any = functions
        self._spark: Any = SparkSession.builder.getOrCreate() if spark is None else spark

    def take(self, table: pa.Table) -> Any:
        """Hold a table that is in memory."""
        return self._spark.createDataFrame(table)

    def select(self, table: Any, columns: Sequence[str]) -> Any:
        """Some columns of a table."""
        return table.select(*map(_quoted, columns))

    def map_batches(
        self, table: Any, rule: Callable[[pa.RecordBatch], pa.Table], schema: pa.Schema
    ) -> Any:
        """What a rule makes of each batch, wherever it lies.

        Raises:
            UsageError: If the rule holds what cannot be sent to other processes.
        """
        from pyspark.sql.pandas.types import from_arrow_schema

        wanted = from_arrow_schema(schema)
        plain = _spark_schema(wanted)

        def made(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                yield from rule(batch).cast(schema).cast(plain).to_batches()

        with warnings.catch_warnings():
            # pyspark doubts new versions of pandas, which only its functions over pandas touch.
            warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
            try:
                return table.mapInArrow(made, wanted)
            except PicklingError as error:
                raise untravelled(self.name, error) from error

    def equi_join(
        self, left: Any, right: Any, on: Sequence[str], *, below: tuple[str, str] | None = None
    ) -> Any:
        """Pairs of rows that agree in some columns."""
        names = [*left.columns, *(one for one in right.columns if one not in on)]
        joined = left.join(right, on=list(on), how="inner").select(*map(_quoted, names))
        if below is None:
            return joined
        first, second = (self._functions.col(_quoted(one)) for one in below)
        return joined.where(first < second)

    def group_topk(
        self, table: Any, by: Sequence[str], order: Sequence[tuple[str, bool]], k: int
    ) -> Any:
        """The first k rows of each group."""
        from pyspark.sql import Window

        col, names = self._functions.col, list(table.columns)
        ranks = [
            col(_quoted(name)).desc_nulls_last() if falls else col(_quoted(name)).asc_nulls_last()
            for name, falls in order
        ]
        window = Window.partitionBy(*map(_quoted, by)).orderBy(*ranks)
        ranked = table.withColumn(_PLACE, self._functions.row_number().over(window))
        return ranked.where(col(_PLACE) <= k).select(*map(_quoted, names))

    def count(self, table: Any, by: Sequence[str], name: str) -> Any:
        """How many rows each group has."""
        rows = self._functions.count(self._functions.lit(1)).alias(name)
        return table.groupBy(*map(_quoted, by)).agg(rows)

    def iterate(self, state: Any, step: Callable[[Any], Any], most: int) -> Any:
        """Put a table through a step until nothing changes.

        Each round is written down and its history forgotten; else a round would compute all those
        before it again.
        """
        for _ in range(most):
            state = step(state).localCheckpoint(eager=True)
            changed = state.where(self._functions.col("changed")).count()
            if not changed:
                return state
        raise TokenryError(f"{self.name}: {changed} rows still change after {most} steps.")

    def batches(self, table: Any) -> Iterator[pa.RecordBatch]:
        """The rows; all of them come to this machine first."""
        yield from table.toArrow().to_batches(ROWS)

    def schema(self, table: Any) -> pa.Schema:
        """The columns of a table and their types."""
        return _spark_schema(table.schema)

    def close(self) -> None:
        """Spark goes on: others may use it."""


def has_java() -> bool:
    """Whether a Java runtime can be found."""
    return "JAVA_HOME" in os.environ or shutil.which("java") is not None


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _spark_schema(schema: Any) -> pa.Schema:
    """What Spark takes and gives for its own schema."""
    from pyspark.sql.pandas.types import to_arrow_schema

    return arrow().schema(to_arrow_schema(schema))
