"""Which pairs blocking rules leave to be compared, of tables with known links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenry.compare.linked import LinkingData, key
from tokenry.method import Side
from tokenry.tables import blocking
from tokenry.tables.duckdb_engine import DuckDBEngine
from tokenry.tables.engine import arrow

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Blocked:
    """The pairs that are compared.

    Attributes:
        left: Left row of each.
        right: Its right row.
        told: What happened, in a sentence.
    """

    left: Rows
    right: Rows
    told: str


def blocked(data: LinkingData, block: str | Sequence[str]) -> Blocked:
    """The pairs that rules allow, each once, sorted; of one table the smaller row is left.

    Args:
        data: The tables.
        block: The rules, as `tokenry.link` reads them.

    Raises:
        UsageError: If a rule cannot be read, or names a column that is not there.
        MissingExtraError: If duckdb is not installed.
    """
    rules = blocking.rules(block, data.left.columns, data.right.columns, "compare")
    first, second = (
        blocking.keys(_texts(side, blocking.columns(rules, name)), rules, name)
        for side, name in ((data.left, "left"), (data.right, "right"))
    )
    engine = DuckDBEngine()
    try:
        blocks, found = blocking.candidates(
            first, second, rules, engine, blocking.MAX_BLOCK, data.alone
        )
        tables = [table.select(["left", "right"]) for table in found]
    finally:
        engine.close()
    left, right = (
        np.concatenate([np.zeros(0, np.int64), *(t.column(name).to_numpy() for t in tables)])
        for name in ("left", "right")
    )
    order = np.lexsort((right, left))
    return Blocked(left[order], right[order], _told(data, left, right, blocks))


def _texts(side: Side, columns: Sequence[str]) -> Any:
    """Columns as blocking reads them: normalised, None where nothing is left."""
    pa = arrow()
    return pa.table(
        {
            name: pa.array([key(value) for value in side.columns[name]], pa.large_string())
            for name in columns
        }
    )


def _told(data: LinkingData, left: Rows, right: Rows, blocks: blocking.Blocks) -> str:
    wide = data.right.count
    pairs = data.left.count * (wide - 1) // 2 if data.alone else data.left.count * wide
    gold = np.array([a * wide + b for a, b in data.gold if not data.alone or a < b], np.int64)
    there = int(np.isin(gold, left * wide + right).sum())
    told = (
        f"Blocking leaves {len(left):,} of {pairs:,} pairs, among them {there:,} of {len(gold):,} "
        "known links."
    )
    return f"{told} {blocks}." if blocks.dropped else told
