"""Connected components of pairs that no one machine holds: joins until no label changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tokenry.tables.engine import Engine, Held, arrow

if TYPE_CHECKING:
    import pyarrow as pa

ROUNDS = 100
"""Rounds at most; a chain of a billion records needs about thirty."""


def propagated(
    engine: Engine,
    pairs: Held,
    *,
    most: int = ROUNDS,
    told: Callable[[int, int], None] | None = None,
) -> Held:
    """The component of each record that is in a pair, named by its lowest record.

    In each round a record takes the lowest label among itself and its neighbours, and then the
    label that its label's record has (pointer jumping; Shiloach and Vishkin 1982), so that chains
    shorten by half or more.

    Args:
        engine: What joins.
        pairs: A table with columns `left` and `right`.
        most: Rounds at most.
        told: Is told the number of each round and how many labels it changed.

    Returns:
        A table with columns `record` and `label`.

    Raises:
        TokenryError: If labels still change after so many rounds.
    """
    pa = arrow()
    ends = pa.schema([("record", pa.int64()), ("other", pa.int64())])
    edges = engine.map_batches(engine.select(pairs, ["left", "right"]), _both_ways, ends)
    state = pa.schema([("record", pa.int64()), ("label", pa.int64()), ("changed", pa.bool_())])
    start = engine.map_batches(engine.count(edges, ["record"], "edges"), _own, state)
    rounds = 0

    def step(held: Held) -> Held:
        nonlocal rounds
        if told is not None and rounds:
            told(rounds, _changed(engine, held))
        rounds += 1
        labels = engine.select(held, ["record", "label"])
        seen = engine.equi_join(edges, _renamed(engine, labels, "other", "near"), ["other"])
        lowest = engine.group_topk(
            engine.select(seen, ["record", "near"]), ["record"], [("near", False)], 1
        )
        higher = _renamed(engine, lowest, "near", "label")
        jumped = engine.equi_join(lowest, higher, ["near"])
        before = _renamed(engine, labels, "record", "before")
        both = engine.equi_join(engine.select(jumped, ["record", "label"]), before, ["record"])
        return engine.map_batches(both, _compared, state)

    found = engine.iterate(start, step, most)
    if told is not None:
        told(rounds, 0)
    return engine.select(found, ["record", "label"])


def _both_ways(batch: pa.RecordBatch) -> pa.Table:
    """Each pair from both of its records, and each record with itself."""
    pa = arrow()
    left, right = (batch.column(name).cast("int64") for name in ("left", "right"))
    one = pa.concat_arrays([left, right, left, right])
    return pa.table({"record": one, "other": pa.concat_arrays([right, left, left, right])})


def _own(batch: pa.RecordBatch) -> pa.Table:
    pa = arrow()
    record = batch.column("record")
    return pa.table(
        {"record": record, "label": record, "changed": pa.array([True] * len(batch), pa.bool_())}
    )


def _compared(batch: pa.RecordBatch) -> pa.Table:
    from pyarrow import compute as pc

    label = batch.column("label")
    changed = pc.not_equal(label, batch.column("before"))
    return arrow().table({"record": batch.column("record"), "label": label, "changed": changed})


def _renamed(engine: Engine, table: Held, first: str, second: str) -> Held:
    """A table of two columns under other names."""
    whole = arrow().int64()
    schema = arrow().schema([(first, whole), (second, whole)])

    def rule(batch: pa.RecordBatch) -> pa.Table:
        return arrow().table(dict(zip((first, second), batch.columns, strict=True)))

    return engine.map_batches(table, rule, schema)


def _changed(engine: Engine, held: Held) -> int:
    """How many rows the last round changed."""
    counted = engine.give(engine.count(engine.select(held, ["changed"]), ["changed"], "rows"))
    rows = counted.to_pylist()
    return sum(int(row["rows"]) for row in rows if row["changed"])
