"""Clusters from pairs, and how well clusters agree with the true ones.

Clusters are labels: one number for each record, equal within a cluster.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from scipy import sparse

Labels = Int[np.ndarray, " n"]
Pairs = Int[np.ndarray, "_ 2"]


class Agreement(NamedTuple):
    """How well what was found agrees with what is true."""

    precision: float
    recall: float
    f1: float


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
    return _agreement(shared, len(pairs), len(gold))


def pair_agreement(labels: Labels, gold: Labels) -> Agreement:
    """The same of all pairs within clusters, counted without listing them."""
    table = _shared(labels, gold)
    return _agreement(_choose(table.data), _choose(table.sum(1)), _choose(table.sum(0)))


def b_cubed(labels: Labels, gold: Labels) -> Agreement:
    """Precision and recall of each record's cluster, averaged (Bagga and Baldwin 1998).

    >>> b_cubed(np.array([0, 0, 0]), np.array([0, 0, 1]))
    Agreement(precision=0.555..., recall=1.0, f1=0.714...)
    """
    table = _shared(labels, gold).tocoo()
    cells = table.data.astype(np.float64)
    own, true = table.sum(1), table.sum(0)
    row, column = table.coords
    precision = float((cells**2 / own[row]).sum() / len(labels))
    recall = float((cells**2 / true[column]).sum() / len(labels))
    return Agreement(precision, recall, 2 * precision * recall / (precision + recall))


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


def _shared(labels: Labels, gold: Labels) -> sparse.csr_array:
    """How many records each cluster shares with each true one."""
    _, row = np.unique(labels, return_inverse=True)
    _, column = np.unique(gold, return_inverse=True)
    table = sparse.coo_array((np.ones(len(labels), np.int64), (row, column))).tocsr()
    table.sum_duplicates()
    return table


def _choose(counts: Int[np.ndarray, "_"]) -> int:
    """Pairs within groups of these sizes."""
    return int((counts * (counts - 1) // 2).sum())


def _agreement(shared: int, found: int, wanted: int) -> Agreement:
    precision = shared / found if found else 1.0
    recall = shared / wanted if wanted else 1.0
    both = precision + recall
    return Agreement(precision, recall, 2 * precision * recall / both if both else 0.0)
