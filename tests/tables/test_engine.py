"""What every engine must do, against loops over all rows."""

from __future__ import annotations

from itertools import product

import pyarrow as pa
import pytest

from tokenry.errors import TokenryError, UsageError
from tokenry.tables.daft_engine import DaftEngine
from tokenry.tables.duckdb_engine import DuckDBEngine
from tokenry.tables.engine import MemoryLimitError

LEFT = pa.table({"left": range(7), "key": ["a", "b", None, "a", "é", "b", "a"]})
RIGHT = pa.table({"right": range(5), "key": ["b", None, "a", "b", "z"]})
TABLES = {
    "some": (LEFT, RIGHT),
    "no left": (LEFT.slice(0, 0), RIGHT),
    "no right": (LEFT, RIGHT.slice(0, 0)),
    "one": (LEFT.slice(1, 1), RIGHT.slice(0, 1)),
}


@pytest.fixture(params=[lambda: DuckDBEngine(threads=1), DaftEngine], ids=["duckdb", "daft"])
def engine(request):
    made = request.param()
    yield made
    made.close()


def rows(engine, held):
    table = engine.give(held)
    return sorted(tuple(row.values()) for row in table.to_pylist()), table.column_names


@pytest.mark.parametrize("kind", TABLES)
def test_a_join_pairs_equal_keys_and_null_with_nothing(engine, kind):
    left, right = TABLES[kind]
    pairs = product(left.to_pylist(), right.to_pylist())
    wanted = [
        (i["left"], i["key"], j["right"])
        for i, j in pairs
        if i["key"] is not None and i["key"] == j["key"]
    ]
    held = engine.take(left), engine.take(right)
    assert rows(engine, engine.equi_join(*held, ["key"])) == (
        sorted(wanted),
        ["left", "key", "right"],
    )
    below = engine.equi_join(*held, ["key"], below=("left", "right"))
    assert rows(engine, below)[0] == sorted(row for row in wanted if row[0] < row[2])


def test_two_keys_must_both_agree(engine):
    left = engine.take(pa.table({"left": [0, 1, 2], "a": [1, 1, None], "b": ["x", "y", "x"]}))
    right = engine.take(pa.table({"right": [0, 1], "a": [1, None], "b": ["x", "x"]}))
    assert rows(engine, engine.equi_join(left, right, ["a", "b"]))[0] == [(0, 1, "x", 0)]


@pytest.mark.parametrize("k", [1, 2, 9])
@pytest.mark.parametrize("falls", [False, True])
def test_the_first_of_each_group(engine, k, falls):
    table = pa.table({"key": LEFT["key"], "n": [3, 1, 4, 1, 5, 9, 2], "m": range(7)})
    groups = {}
    for row in sorted(
        table.to_pylist(), key=lambda row: (-row["n"] if falls else row["n"], row["m"])
    ):
        groups.setdefault(row["key"], []).append(tuple(row.values()))
    wanted = [row for group in groups.values() for row in group[:k]]
    found = engine.give(
        engine.group_topk(engine.take(table), ["key"], [("n", falls), ("m", False)], k)
    ).to_pylist()
    assert {tuple(row.values()) for row in found} == set(wanted)
    assert len(found) == len(wanted)
    least = engine.group_topk(engine.take(table.select(["key", "n"])), ["key"], [("n", falls)], 1)
    assert {(row["key"], row["n"]) for row in engine.give(least).to_pylist()} == {
        group[0][:2] for group in groups.values()
    }


def test_groups_are_counted_and_columns_chosen(engine):
    held = engine.take(LEFT)
    counted = engine.give(engine.count(held, ["key"], "how many")).to_pylist()
    assert {row["key"]: row["how many"] for row in counted} == {"a": 3, "b": 2, "é": 1, None: 1}
    assert rows(engine, engine.select(held, ["left"])) == ([(i,) for i in range(7)], ["left"])


def test_a_rule_over_batches_sees_every_row_once(engine):
    schema = pa.schema([("left", pa.int64()), ("twice", pa.int64())])

    def rule(batch):
        numbers = [i for i in batch.column("left").to_pylist() if i != 3]
        return pa.table({"left": numbers, "twice": [2 * i for i in numbers]})

    held = engine.map_batches(engine.take(LEFT), rule, schema)
    assert rows(engine, held)[0] == [(i, 2 * i) for i in range(7) if i != 3]
    empty = engine.map_batches(engine.take(LEFT.slice(0, 0)), rule, schema)
    assert engine.give(empty).schema.names == ["left", "twice"]


def test_steps_go_on_until_nothing_changes(engine):
    start = pa.table({"n": [1, 5, 9], "changed": [True, True, True]})
    schema = start.schema

    def step(held):
        def rule(batch):
            old = batch.column("n").to_pylist()
            new = [min(n + 1, 7) if n < 7 else n for n in old]
            return pa.table({"n": new, "changed": [a != b for a, b in zip(old, new, strict=True)]})

        return engine.map_batches(held, rule, schema)

    assert rows(engine, engine.iterate(engine.take(start), step, 10))[0] == [
        (7, False),
        (7, False),
        (9, False),
    ]
    with pytest.raises(TokenryError, match="still change after 3 steps"):
        engine.iterate(engine.take(start), step, 3)


def test_many_rows_come_in_batches(engine):
    held = engine.take(pa.table({"left": range(200_000)}))
    sizes = [len(batch) for batch in engine.batches(held)]
    assert sum(sizes) == 200_000
    assert max(sizes) <= 1 << 17


def test_a_limit_that_does_not_do_says_what_to_do(tmp_path):
    engine = DuckDBEngine(memory="30MB", spill=tmp_path, disk="1MB", threads=1)
    keys = pa.table({"left": range(300_000), "key": [f"{i % 3000:09}" for i in range(300_000)]})
    pairs = engine.equi_join(
        engine.take(keys), engine.take(keys.rename_columns(["right", "key"])), ["key"]
    )
    with pytest.raises(MemoryLimitError, match=r"30MB of memory.*memory='4GB'.*max_block"):
        engine.give(engine.group_topk(pairs, ["left", "right"], [("key", False)], 1))
    engine.close()


def test_a_limit_that_cannot_be_read_is_refused():
    with pytest.raises(UsageError, match="memory='lots'"):
        DuckDBEngine(memory="lots")
