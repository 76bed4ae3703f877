"""What `tokenry.evaluate_links` counts, once all records have numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tokenry.errors import UsageError
from tokenry.ops.link_measures import (
    b_cubed_of_some,
    blocking_measures,
    cluster_intervals,
    link_intervals,
    shares,
)
from tokenry.ops.resampling import Interval
from tokenry.ops.thresholds import Curve, threshold_curve
from tokenry.tables.gold import WHO, FoundPairs, Reader

Whole = NDArray[np.int64]
Real = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(kw_only=True, slots=True)
class Counted:
    """What is counted so far.

    Attributes:
        resampled: What is drawn for the intervals.
        right: Says which of some pairs are true.
        wanted: How many true pairs there are.
        counts: Pairs and records that count, by name.
        measures: By name, each part with its interval.
        sources: The same by the source of what was found.
        blocking: Of the candidates.
        curve: Over thresholds.
    """

    resampled: str
    right: Callable[[Whole], Flags]
    wanted: int
    counts: dict[str, int] = field(default_factory=dict)
    measures: dict[str, dict[str, Interval]] = field(default_factory=dict)
    sources: dict[str, dict[str, Interval]] = field(default_factory=dict)
    blocking: dict[str, float] = field(default_factory=dict)
    curve: Curve | None = None


def by_pairs(reader: Reader, seed: int) -> Counted:
    """Found pairs, or the judged pairs that lie within found clusters, against true ones."""
    true, judged = reader.true_pairs()
    found = reader.found_pairs()
    if judged is not None:
        if reader.found.pairs is None:
            found = _within(reader.clusters(), reader.pairs(judged))
        found = found.where(np.isin(reader.codes(found.pairs), judged))
    made = Counted(
        # Two tables: the left record is drawn with its pairs. One: each with half of its pairs.
        resampled="records" if reader.one_table else "left records",
        right=lambda pairs: np.isin(reader.codes(pairs), true),
        wanted=len(true),
    )
    ends = [0, 1] if reader.one_table else [0, 0]
    unit = np.arange(len(reader.values))
    wanted = shares(reader.pairs(true)[:, ends], unit, len(unit))
    _count(made, found, found.pairs[:, ends], wanted, unit, reader, seed)
    if judged is not None:
        made.counts["judged"] = len(judged)
    return made


def by_entities(reader: Reader, seed: int) -> Counted:
    """Clusters against entities, among the records whose entity is known."""
    gold, labels = reader.entities(), reader.clusters()
    known = gold >= 0
    sizes = np.bincount(gold[known]).astype(np.float64)
    wanted = sizes * (sizes - 1) / 2
    made = Counted(
        resampled="entities",
        right=lambda pairs: _same(gold, pairs),
        wanted=int(wanted.sum()),
    )
    if reader.found.pairs is not None:
        found = reader.found_pairs()
        found = found.where(np.asarray(known[found.pairs].all(axis=1)))
        _count(made, found, found.pairs, wanted, gold, reader, seed)
    made.measures |= cluster_intervals(labels[known], gold[known], seed)
    made.counts |= {
        "records": len(gold),
        "labelled": int(known.sum()),
        "entities": int((sizes > 0).sum()),
        "clusters": len(np.unique(labels[known])),
    }
    if reader.found.records is not None:
        _by_source(made, reader, labels[known], gold[known], known, seed)
    return made


def block(made: Counted, reader: Reader, sizes: Sequence[int] | None) -> None:
    """Add what blocking kept and spared.

    Raises:
        UsageError: If there are not one or two sizes, or sizes and no candidates.
    """
    if reader.candidates is None:
        if sizes is not None:
            raise UsageError(f"{WHO}: sizes={tuple(sizes)!r} goes with candidates; give both.")
        return
    codes = np.unique(reader.codes(reader.candidates))
    pairs = reader.pairs(codes)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]] if reader.one_table else pairs
    right = int(made.right(pairs).sum())
    made.blocking = blocking_measures(len(pairs), right, made.wanted, _possible(sizes, reader))


def _count(
    made: Counted,
    found: FoundPairs,
    ends: Whole,
    wanted: Real,
    unit: Whole,
    reader: Reader,
    seed: int,
) -> None:
    """Add the measures of pairs, their curve, and the same by source.

    Args:
        made: Where they are added.
        found: The pairs.
        ends: The records of each pair that it belongs to.
        wanted: The true pairs of each unit.
        unit: The unit of each record, which is what is drawn.
        reader: Knows the sources.
        seed: Of the resampling.
    """
    right = made.right(found.pairs)
    hits = int(right.sum())
    made.counts |= {"found": len(right), "right": hits, "wanted": made.wanted}
    made.measures["pairs"] = link_intervals(ends, right, wanted, unit, seed)
    if found.scores is not None:
        made.curve = threshold_curve(found.scores, right, made.wanted - hits)
    for number, name in enumerate(reader.sources()[1]):
        own = found.source == number
        made.sources[name] = link_intervals(ends[own], right[own], wanted, unit, seed)


def _by_source(
    made: Counted, reader: Reader, labels: Whole, gold: Whole, known: Flags, seed: int
) -> None:
    """Add B-cubed averaged over the records of each source."""
    numbers, names = reader.sources()
    if reader.found.records is None or not names:
        return
    of = np.full(len(known), -1, dtype=np.int64)
    of[reader.found.records] = numbers
    for number, name in enumerate(names):
        some = of[known] == number
        if some.any():
            made.sources[name] = b_cubed_of_some(labels, gold, some, seed)


def _within(labels: Whole, pairs: Whole) -> FoundPairs:
    """The pairs that lie within clusters."""
    kept = pairs[_same(labels, pairs)]
    return FoundPairs(kept, None, np.full(len(kept), -1, dtype=np.int64))


def _same(labels: Whole, pairs: Whole) -> Flags:
    """Which pairs have one label, and a label at all."""
    one, other = labels[pairs[:, 0]], labels[pairs[:, 1]]
    return np.asarray((one == other) & (one >= 0))


def _possible(sizes: Sequence[int] | None, reader: Reader) -> int | None:
    """How many pairs there are in all."""
    if sizes is None:
        return None
    wanted = 1 if reader.one_table else 2
    if len(sizes) != wanted or any(size < 0 for size in sizes):
        raise UsageError(
            f"{WHO}: sizes={tuple(sizes)!r} must be {wanted} number{'s' * (wanted > 1)} of "
            f"records, for {'one table' if wanted == 1 else 'two tables'}."
        )
    if reader.one_table:
        return sizes[0] * (sizes[0] - 1) // 2
    return sizes[0] * sizes[1]
