"""`tokenry.evaluate_links`: how well pairs or clusters agree with what is known.

Three kinds of gold are told apart by their columns. Pairs: these are the same, all others are not.
Judged pairs (with a column of judgements): nothing is known of any other pair. Entities: records
with the same one are the same; records without one are left out wherever they stand.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tokenry.errors import UsageError
from tokenry.tables import frames, ids
from tokenry.tables.clustering import Clustered
from tokenry.tables.clusters import CLUSTER, Clusters
from tokenry.tables.counting import block, by_entities, by_pairs
from tokenry.tables.engine import arrow
from tokenry.tables.evaluation import LinkEvaluation
from tokenry.tables.frames import ROW, Frame
from tokenry.tables.gold import WHO, Names, Reader
from tokenry.tables.links import Links


def evaluate_links(
    found: Any,
    gold: Any,
    *,
    left: str | tuple[str, str] = "left",
    right: str | tuple[str, str] = "right",
    score: str = "score",
    id: str | tuple[str, str] = "id",
    cluster: str = "cluster",
    entity: str = "entity",
    match: str = "match",
    source: str | None = None,
    one_table: bool | None = None,
    candidates: Any = None,
    sizes: Sequence[int] | None = None,
    seed: int = 0,
    encoding: str | None = None,
) -> LinkEvaluation:
    """Say how well pairs, or clusters, agree with what is known to be true.

    Of records whose entity is not known nothing is counted, so that precision is that among the
    others: a wrong pair with an unlabelled record is not seen. No measure lists the pairs of a
    cluster.

    Args:
        found: Pairs (a table with `left` and `right`, links of `tokenry.link`, or the merged table
            with `id_left` and `id_right`, whose rows without a partner do not count) or clusters
            (a table with `id` and `cluster`; what `tokenry.cluster` gave at one threshold, or
            `tokenry.dedupe`, with rows counted from 0 where its table has no `id`).
        gold: True pairs (`left`, `right`), judged pairs (with `match`, or `label`: 1 or 0), or the
            entity of each record (`id`, `entity`). An id that is in no found pair is not found; one
            in no cluster is a cluster of its own, with a warning.
        left: The column of pairs with one id; two, where `found` and `candidates` call it otherwise
            than `gold`, as in `("id_left", "ours")`.
        right: The column with the other one, likewise.
        score: The column of scores of found pairs, for the curve over thresholds.
        id: The column of ids of clusters and of entities, likewise.
        cluster: The column of the found clusters.
        entity: The column of the true ones.
        match: The column of judgements.
        source: A column of `found` that figures are also given by: of pairs the rule or the data
            they come from, of clusters the source of each record.
        one_table: Whether `left` and `right` are ids of one table, so that a pair has no direction;
            when not given, that is so for clusters and for entities.
        candidates: Pairs that were compared, to measure blocking with.
        sizes: With candidates: how many records there were, in one table or in two.
        seed: Of the resampling.
        encoding: Of csv files.

    Raises:
        DataError: If gold contradicts itself, a record is in two clusters, or an id is missing.
        UnknownNameError: If there is no such column of sources.
        UsageError: If it cannot be told what is compared with what.

    >>> found = {"left": [1, 2, 3], "right": [1, 2, 2], "score": [0.9, 0.7, 0.8]}
    >>> scored = evaluate_links(found, {"left": [1, 2], "right": [1, 2]})
    >>> round(scored.measures["pairs"]["precision"].value, 3), scored.best
    (0.667, (0.7, 0.8))
    """
    both = [_two(name, given) for name, given in (("left", left), ("right", right), ("id", id))]
    reader = Reader(
        Names(both[0], both[1], score, both[2], cluster, entity, match, source),
        _taken(found, both[2][0], cluster, encoding),
        frames.read(gold, "the gold table", encoding=encoding),
        _compared(candidates, encoding),
        one_table,
    )
    unknown = _unknown(reader)
    counted = by_pairs(reader, seed) if _needs_pairs(reader) else by_entities(reader, seed)
    block(counted, reader, sizes)
    return LinkEvaluation(
        counts={**counted.counts, "unknown": unknown},
        measures=counted.measures,
        curve=counted.curve,
        sources=counted.sources,
        blocking=counted.blocking,
        resampled=counted.resampled,
    )


def _two(name: str, given: str | Sequence[str]) -> tuple[str, str]:
    """What a column is called in what was found, and in gold."""
    names = (given,) if isinstance(given, str) else tuple(given)
    if not 1 <= len(names) <= 2:
        raise UsageError(
            f"{WHO}: {name}={given!r} is neither one name nor two, of what was found and of gold."
        )
    return names[0], names[-1]


def _compared(candidates: Any, encoding: str | None) -> Frame | None:
    if candidates is None:
        return None
    return frames.read(candidates, "the table of candidates", encoding=encoding)


def _taken(found: Any, id: str, cluster: str, encoding: str | None) -> Frame:
    if isinstance(found, Links):
        return Frame(found.table, found.left.back, "the links")
    if isinstance(found, Clustered):
        if len(found.columns) > 1:
            raise UsageError(
                f"{WHO}: the clusters are at {len(found.columns)} thresholds; give `.table` and "
                f"cluster=, one of {', '.join(found.columns.values())}."
            )
        return Frame(found.records, found.frame.back, "the clusters")
    if isinstance(found, Clusters):
        table = found.frame.table
        rows, labels = (found.table.column(name) for name in (ROW, CLUSTER))
        columns = {id: table.column(id) if id in table.column_names else rows, cluster: labels}
        others = {name: table.column(name) for name in table.column_names if name not in columns}
        return Frame(arrow().table({**others, **columns}), found.frame.back, "the clusters")
    return frames.read(found, "the found table", encoding=encoding)


def _needs_pairs(reader: Reader) -> bool:
    """Whether pairs are compared with pairs; clusters with all true pairs are two partitions."""
    return reader.gold.pairs is not None and (reader.found.pairs is not None or reader.judged)


def _unknown(reader: Reader) -> int:
    """How many ids of gold are nowhere in what was found; clusters should have them all."""
    gold, found = reader.gold.sides, reader.found.sides
    if reader.one_table:
        gold, found = [np.concatenate(gold)], [np.concatenate(found)]
    unknown = [np.setdiff1d(one, other) for one, other in zip(gold, found, strict=True)]
    count = sum(map(len, unknown))
    # A record without a link is in no pair, which is no news.
    if count and reader.found.pairs is None:
        warnings.warn(
            f"{WHO}: {count} ids of gold are not in {reader.found.frame.name}, such as "
            f"{ids.shown(reader.values, unknown[0])}; each counts as a cluster of its own.",
            stacklevel=3,
        )
    return count
