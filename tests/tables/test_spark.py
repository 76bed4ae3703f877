"""The engine spark on one thread: the same rows as DuckDB."""

from __future__ import annotations

import builtins
import sys
import threading

import numpy as np
import pyarrow as pa
import pytest

from tokenry.errors import MissingExtraError, TokenryError, UsageError
from tokenry.tables import spark as ops
from tokenry.tables.duckdb_engine import DuckDBEngine
from tokenry.tables.propagation import propagated
from tokenry.tables.spread import spread

LEFT = pa.table({"left": range(7), "key": ["a", "b", None, "a", "é", "b", "a"]})
RIGHT = pa.table({"right": range(5), "key": ["b", None, "a", "b", "z"]})


@pytest.fixture(scope="module")
def cluster():
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed")
    if not ops.has_java():
        pytest.skip("there is no Java to run Spark with")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("PYTHONPATH", ":".join(sys.path))
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        made = (
            sql.SparkSession.builder.master("local[1]")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.shuffle.partitions", "1")
            .getOrCreate()
        )
        yield made
        made.stop()


def rows(engine, held):
    table = engine.give(held)
    values = (tuple(row.values()) for row in table.to_pylist())
    return sorted(values, key=repr), table.column_names


def shape(engine):
    """What every operation of an engine brings."""
    left, right = engine.take(LEFT), engine.take(RIGHT)
    schema = pa.schema([("left", pa.int64()), ("text", pa.large_string())])

    def rule(batch):
        numbers = [i for i in batch.column("left").to_pylist() if i != 3]
        return pa.table({"left": numbers * 2, "text": ["é"] * (2 * len(numbers))})

    empty = engine.take(LEFT.slice(0, 0))
    yield rows(engine, engine.equi_join(left, right, ["key"]))
    yield rows(engine, engine.equi_join(left, right, ["key"], below=("left", "right")))
    yield rows(engine, engine.equi_join(empty, right, ["key"]))
    yield rows(engine, engine.group_topk(left, ["key"], [("left", True)], 2))
    yield rows(engine, engine.count(left, ["key"], "how many"))
    yield rows(engine, engine.map_batches(left, rule, schema))


class Same:
    """Scores 1 for rows of the same number, 0.5 for their neighbours."""

    threshold = 0.5

    def score(self, left, right):
        return np.array([1 / (1 + abs(int(i) - int(j))) for i, j in zip(left, right, strict=True)])


def plan(engine):
    """Links and components of a small table with itself."""
    keys = pa.table(
        {
            "left": [0, 1, 2, 3, 7],
            "rule": [0] * 5,
            "key": pa.array(list("aaaba"), pa.large_string()),
        }
    )
    right = keys.rename_columns(["right", "rule", "key"])
    links = spread(engine, engine.take(keys), engine.take(right), Same(), alone=True)
    found = rows(engine, links)
    told = []
    labels = propagated(engine, engine.take(engine.give(links)), told=lambda *one: told.append(one))
    return found, rows(engine, labels), told


@pytest.mark.slow
def test_spark_brings_the_rows_of_duckdb(cluster):
    engine, other = ops.SparkEngine(cluster), DuckDBEngine(threads=1)
    for ours, wanted in zip(shape(engine), shape(other), strict=True):
        assert ours == wanted
    assert plan(engine) == plan(other)
    start = pa.table({"n": [1], "changed": [True]})
    with pytest.raises(TokenryError, match="spark: 1 rows still change after 1 steps"):
        engine.iterate(engine.take(start), lambda held: held, 1)
    lock = threading.Lock()
    with pytest.raises(UsageError, match="spark: a rule cannot be sent to other processes"):
        engine.map_batches(engine.take(LEFT), lambda batch: lock, LEFT.schema)
    other.close()


def test_without_pyspark_or_java_it_says_what_to_do(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.startswith("pyspark"):
            raise ImportError(name)
        return real(name, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", without)
        with pytest.raises(MissingExtraError, match=r'pip install "tokenry\[spark\]"'):
            ops.SparkEngine()
    pytest.importorskip("pyspark", reason="pyspark is not installed")
    monkeypatch.setattr(ops, "has_java", lambda: False)
    with pytest.raises(UsageError, match="there is no Java"):
        ops.SparkEngine()
