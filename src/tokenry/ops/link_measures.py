"""Precision, recall and F1 of links with intervals, whatever is drawn for them.

Everything is a sum over units (entities, records) of what each unit adds to the right, found and
wanted pairs; drawing units with replacement gives the intervals. A pair between two units counts
half for each.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from tokenry.ops.agreement import agreement, harmonic, ratios, share
from tokenry.ops.clusters import entity_parts, measures_of, record_scores
from tokenry.ops.resampling import Interval, intervals_of_totals

Pairs = Int[np.ndarray, "m 2"]
Units = Int[np.ndarray, " n"]
NAMES = ("precision", "recall", "f1")


def shares(pairs: Pairs, unit: Units, count: int) -> Float[np.ndarray, " u"]:
    """How many of the pairs are each unit's; of a pair between two units each has a half.

    >>> shares(np.array([[0, 1], [1, 2]]), np.array([0, 0, 1]), 2).tolist()
    [1.5, 0.5]
    """
    ends = (np.bincount(unit[pairs[:, side]], minlength=count) for side in (0, 1))
    return np.asarray(sum(ends) / 2, dtype=np.float64)


def link_intervals(
    found: Pairs,
    right: Bool[np.ndarray, " m"],
    wanted: Float[np.ndarray, " u"],
    unit: Units,
    seed: int,
) -> dict[str, Interval]:
    """Precision, recall and F1 of found pairs.

    Args:
        found: Pairs of records.
        right: Which of them are true.
        wanted: The true pairs of each unit.
        unit: The unit of each record.
        seed: Of the resampling.
    """
    count = len(wanted)
    parts = (shares(found[right], unit, count), shares(found, unit, count), wanted)
    sums = np.stack(parts, 1)
    # Units without any pair change nothing and would only make the intervals wait.
    sums = sums[sums.any(1)]
    sums = sums if len(sums) else np.zeros((1, 3))
    return dict(zip(NAMES, intervals_of_totals(sums, ratios, seed), strict=True))


def cluster_intervals(labels: Units, gold: Units, seed: int) -> dict[str, dict[str, Interval]]:
    """Precision, recall and F1 of pairs within clusters and of B-cubed, and the Rand index.

    Args:
        labels: The cluster of each record.
        gold: Its entity; entities are what is drawn.
        seed: Of the resampling.
    """
    parts = entity_parts(labels, gold)
    found = intervals_of_totals(parts if len(parts) else np.zeros((1, 6)), measures_of, seed)
    return {
        "cluster pairs": dict(zip(NAMES, found[:3], strict=True)),
        "b-cubed": dict(zip(NAMES, found[3:6], strict=True)),
        "rand": {"adjusted": found[6]},
    }


def b_cubed_of_some(
    labels: Units, gold: Units, some: Bool[np.ndarray, " n"], seed: int
) -> dict[str, Interval]:
    """B-cubed averaged over some of the records, with the clusters of all.

    Args:
        labels: The cluster of each record.
        gold: Its entity.
        some: Which records are averaged over; at least one.
        seed: Of the resampling.
    """
    scores = record_scores(labels, gold)[some]
    _, unit, size = np.unique(gold[some], return_inverse=True, return_counts=True)
    columns = (np.bincount(unit, scores[:, 0]), np.bincount(unit, scores[:, 1]), size)
    parts = np.stack(columns, 1).astype(np.float64)
    return dict(zip(NAMES, intervals_of_totals(parts, _means, seed), strict=True))


def blocking_measures(
    candidates: int, right: int, wanted: int, possible: int | None
) -> dict[str, float]:
    """Pair completeness and reduction ratio of blocking (Christen 2012, section 7.3).

    Args:
        candidates: Pairs that are compared.
        right: True pairs among them.
        wanted: All true pairs.
        possible: All pairs that there are; None if that is not known.

    >>> blocking_measures(10, 4, 5, 100)
    {'recall': 0.8, 'reduction': 0.9}
    """
    found = {"recall": agreement(right, candidates, wanted).recall}
    if possible is not None:
        found["reduction"] = float(share(np.array(possible - candidates), np.array(possible)))
    return found


def _means(sums: Float[np.ndarray, "r 3"]) -> Float[np.ndarray, "r 3"]:
    precision, recall = share(sums[:, 0], sums[:, 2]), share(sums[:, 1], sums[:, 2])
    return np.stack((precision, recall, harmonic(precision, recall)), 1)
