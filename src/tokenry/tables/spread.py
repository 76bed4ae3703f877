"""From keys to links on an engine that may be a cluster: no table comes to this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tokenry.errors import UsageError
from tokenry.method import Matcher
from tokenry.tables.engine import Engine, Held, arrow

if TYPE_CHECKING:
    import pyarrow as pa


def spread(
    engine: Engine,
    left: Held,
    right: Held,
    matcher: Matcher,
    *,
    threshold: float | None = None,
    k: int | None = None,
    alone: bool = False,
) -> Held:
    """Score the pairs of rows that share a key, and keep those that score enough.

    Args:
        engine: What joins.
        left: Keys of the left rows, in columns `left`, `rule` and `key` (`blocking.keys`).
        right: Keys of the right rows, in columns `right` and `key`.
        matcher: A linker that has read both tables; it travels to where pairs are scored.
        threshold: The score from which on a pair is a link; the matcher's own when not given.
        k: Links that a left row has at most; all when not given.
        alone: Whether both tables are the same one; then each pair is there once, left < right.

    Returns:
        The links: left, right, rule, score.

    Raises:
        UsageError: If k is below 1.
    """
    if k is not None and k < 1:
        raise UsageError(f"spread: k={k} is below 1; it is the most links of a left row.")
    pa = arrow()
    right = engine.select(right, ["right", "key"])
    pairs = engine.equi_join(left, right, ["key"], below=("left", "right") if alone else None)
    pairs = engine.select(pairs, ["left", "right", "rule"])
    pairs = engine.group_topk(pairs, ["left", "right"], [("rule", False)], 1)
    whole = [(name, pa.int64()) for name in ("left", "right", "rule")]
    schema = pa.schema([*whole, ("score", pa.float64())])
    least = matcher.threshold if threshold is None else threshold
    links = engine.map_batches(pairs, scoring(matcher, least), schema)
    if k is None:
        return links
    return engine.group_topk(links, ["left"], [("score", True), ("right", False)], k)


def scoring(matcher: Matcher, least: float) -> Callable[[pa.RecordBatch], pa.Table]:
    """A rule that scores a batch of pairs and keeps those that score enough."""

    def rule(batch: pa.RecordBatch) -> pa.Table:
        pa = arrow()
        left, right = (np.asarray(batch.column(name)) for name in ("left", "right"))
        score = np.asarray(matcher.score(left, right), dtype=np.float64)
        columns = {name: batch.column(name) for name in ("left", "right", "rule")}
        table = pa.table({**columns, "score": score})
        return table.filter(pa.array(score >= least))  # NaN is not enough

    return rule


def untravelled(engine: str, error: Exception) -> UsageError:
    """What an engine says of a rule that it cannot send to where the rows lie."""
    reason = str(error.__cause__ or error).splitlines()[0][:200]
    return UsageError(
        f"{engine}: a rule cannot be sent to other processes, something in it cannot be pickled "
        f"({reason}); take a linker that can, such as char-ngrams, or the engine duckdb."
    )
