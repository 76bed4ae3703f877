"""Clusters from pairs, and how well clusters agree with the true ones.

Clusters are labels: one number for each record, equal within a cluster. No measure lists the pairs
of a cluster, so that one of a hundred thousand records costs no more than as many small ones.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from tokenry.ops.agreement import Agreement, agreement, harmonic, ratios, share

Labels = Int[np.ndarray, " n"]
Pairs = Int[np.ndarray, "_ 2"]


def components(pairs: Pairs, count: int) -> Labels:
    """Records that pairs join, directly or through others.

    >>> components(np.array([[0, 1], [1, 3]]), 4).tolist()
    [0, 0, 1, 0]
    """
    ones = np.ones(len(pairs), dtype=bool)
    graph = sparse.coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, labels = sparse.csgraph.connected_components(graph.tocsr(), directed=False)
    return np.asarray(labels, dtype=np.int64)


def members(labels: Labels) -> list[Int[np.ndarray, "_"]]:
    """The records of each cluster.

    >>> [one.tolist() for one in members(np.array([5, 2, 5]))]
    [[1], [0, 2]]
    """
    if not len(labels):
        return []
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def pairs_within(labels: Labels) -> Pairs:
    """Every pair of records that share a cluster.

    >>> pairs_within(np.array([0, 1, 0, 0])).tolist()
    [[0, 2], [0, 3], [2, 3]]
    """
    found = [np.zeros((0, 2), np.int64)]
    for one in members(labels):
        first, second = np.triu_indices(len(one), 1)
        found.append(np.stack((one[first], one[second]), 1))
    pairs = np.concatenate(found)
    return pairs[np.lexsort(pairs.T[::-1])]


def edge_agreement(pairs: Pairs, gold: Pairs) -> Agreement:
    """Precision, recall and F1 of pairs, before anything is made of them."""
    shared = len({*map(tuple, pairs.tolist())} & {*map(tuple, gold.tolist())})
    return agreement(shared, len(pairs), len(gold))


def pair_agreement(labels: Labels, gold: Labels) -> Agreement:
    """The same of all pairs within clusters, counted without listing them."""
    table = _shared(labels, gold)
    return agreement(_choose(table.data), _choose(table.sum(1)), _choose(table.sum(0)))


def b_cubed(labels: Labels, gold: Labels) -> Agreement:
    """Precision and recall of each record's cluster, averaged (Bagga and Baldwin 1998).

    The average is over records. Averages over true clusters, which some tools report under the
    same name, weigh a cluster of two as much as one of a thousand and give other figures.

    >>> b_cubed(np.array([0, 0, 0]), np.array([0, 0, 1]))
    Agreement(precision=0.555..., recall=1.0, f1=0.714...)
    """
    sums = entity_parts(labels, gold).sum(0, keepdims=True)
    return Agreement(*measures_of(sums)[0, 3:6].tolist())


def adjusted_rand(labels: Labels, gold: Labels) -> float:
    """Share of pairs that both treat alike, so that chance gives 0 (Hubert and Arabie 1985).

    >>> adjusted_rand(np.array([0, 0, 1]), np.array([4, 4, 2]))
    1.0
    """
    table = _shared(labels, gold)
    both, own, true = _choose(table.data), _choose(table.sum(1)), _choose(table.sum(0))
    expected = own * true / max(1, _choose(np.array([len(labels)])))
    most = (own + true) / 2
    return 1.0 if most == expected else float((both - expected) / (most - expected))


def entity_parts(labels: Labels, gold: Labels) -> Float[np.ndarray, "e 6"]:
    """What each true cluster adds to the sums that all measures are made of.

    A pair that joins records of two true clusters counts half for each of them. Drawing true
    clusters with replacement and adding up gives intervals (Binette et al. 2023, "Estimating the
    Performance of Entity Resolution Algorithms", which samples clusters in the same way).

    Returns:
        Records; pairs that both join; pairs that the labels join; true pairs; and the sums over
        its records of their B-cubed precision and of their B-cubed recall.

    >>> entity_parts(np.array([0, 0, 0]), np.array([0, 0, 1])).round(2).tolist()
    [[2.0, 1.0, 2.0, 1.0, 1.33, 2.0], [1.0, 0.0, 1.0, 0.0, 0.33, 1.0]]
    """
    table = _shared(labels, gold).tocoo()
    cells = table.data.astype(np.float64)
    row, column = table.coords
    own, true = table.sum(1).astype(np.float64), table.sum(0).astype(np.float64)
    each = (
        cells,
        cells * (cells - 1) / 2,
        cells * (own[row] - 1) / 2,
        cells * (true[column] - 1) / 2,
        cells**2 / own[row],
        cells**2 / true[column],
    )
    sums = [np.bincount(column, part, len(true)) for part in each]
    return np.stack(sums, 1).astype(np.float64)


def record_scores(labels: Labels, gold: Labels) -> Float[np.ndarray, "n 2"]:
    """B-cubed precision and recall of each record: where clusters are wrong.

    >>> record_scores(np.array([0, 0, 1]), np.array([0, 0, 0])).round(2).tolist()
    [[1.0, 0.67], [1.0, 0.67], [1.0, 0.33]]
    """
    _, row, own = np.unique(labels, return_inverse=True, return_counts=True)
    _, column, true = np.unique(gold, return_inverse=True, return_counts=True)
    cell = row * max(1, len(true)) + column
    _, back, both = np.unique(cell, return_inverse=True, return_counts=True)
    return np.stack((both[back] / own[row], both[back] / true[column]), 1).astype(np.float64)


def measures_of(sums: Float[np.ndarray, "r 6"]) -> Float[np.ndarray, "r 7"]:
    """The measures of rows of sums of `entity_parts`.

    Returns:
        Precision, recall and F1 of pairs within clusters; the same of B-cubed over records; the
        adjusted Rand index.

    >>> labels, gold = np.array([0, 0, 0]), np.array([0, 0, 1])
    >>> measures_of(entity_parts(labels, gold).sum(0, keepdims=True)).round(3).tolist()
    [[0.333, 1.0, 0.5, 0.556, 1.0, 0.714, 0.0]]
    """
    count, both, own, true, precise, recalled = sums.T
    pairs = ratios(np.stack((both, own, true), 1))
    precision, recall = share(precise, count), share(recalled, count)
    cubed = np.stack((precision, recall, harmonic(precision, recall)), 1)
    expected = own * true / np.maximum(count * (count - 1) / 2, 1)
    span = (own + true) / 2 - expected
    rand = np.where(span == 0, 1.0, (both - expected) / np.where(span == 0, 1, span))
    return np.concatenate((pairs, cubed, rand[:, None]), 1)


def _shared(labels: Labels, gold: Labels) -> sparse.csr_array:
    """How many records each cluster shares with each true one."""
    _, row = np.unique(labels, return_inverse=True)
    _, column = np.unique(gold, return_inverse=True)
    shape = (int(row.max(initial=-1)) + 1, int(column.max(initial=-1)) + 1)
    table = sparse.coo_array((np.ones(len(labels), np.int64), (row, column)), shape).tocsr()
    table.sum_duplicates()
    return table


def _choose(counts: Int[np.ndarray, "_"]) -> int:
    """Pairs within groups of these sizes."""
    return int((counts * (counts - 1) // 2).sum())
