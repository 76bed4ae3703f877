"""Clusters that do not run together: A like B and B like C do not make A like C.

Guards only split what plain components join. They work in this order: weak bridges are dropped;
what is left joins from the best pair down, where two records of one duplicate-free source never
come together; a cluster that is too large, too thin or too near to others is taken at the higher
threshold at which it is none of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.cluster import hierarchy

from tokenry.errors import UsageError
from tokenry.ops.clusters import components, members
from tokenry.ops.merge_tree import MergeTree, largest_nodes, merge_tree, pairs_inside

Labels = Int[np.ndarray, " n"]
Pairs = Int[np.ndarray, "m 2"]
Scores = Float[np.ndarray, " m"]

ROUNDING = 1e-6
"""By how much the score of two equal records may be above 1."""
FULL = 5000
"""Records of a component up to which average linkage holds all their pairs (200 MB)."""


class _Graph(NamedTuple):
    """Scored pairs of different records, each pair once."""

    pairs: Int[np.ndarray, "p 2"]
    scores: Float[np.ndarray, " p"]


def guarded_components(
    pairs: Pairs,
    scores: Scores,
    count: int,
    *,
    largest: int | None = None,
    density: float = 0.0,
    bridges: bool = False,
    sources: Int[np.ndarray, " n"] | None = None,
    apart: float = 0.0,
    threshold: float = -np.inf,
) -> Labels:
    """Connected components with guards against chains.

    Args:
        pairs: Pairs of records that count as matches; one without a score (NaN) does not.
        scores: One for each pair, higher is likelier.
        count: How many records there are.
        largest: Most records of a cluster. A larger one is taken at the lowest of its own scores
            at which it falls into parts, and so on until all parts fit.
        density: Least share of a cluster's possible pairs that are there, in [0, 1].
        bridges: Drop a pair without which its component falls in two parts of more than one
            record each, if it scores below the median of the component's pairs; weakest first.
        sources: The source of each record; a cluster holds at most one record of each. A record
            with -1 comes from a source that may have duplicates.
        apart: How many times as far as the farthest pair that holds a cluster together the nearest
            record outside must be; a score is the distance 1 - score. True duplicates stand apart
            from what surrounds them wherever a threshold would be (Chaudhuri, Ganti and Motwani
            2005). 0 asks for nothing.
        threshold: Pairs that score less join nothing; `apart` looks at them too.

    Returns:
        A label for each record, numbered by the first record of each cluster.

    Raises:
        UsageError: If a guard is outside what it may be.

    >>> chain = np.array([[0, 1], [1, 2], [2, 3], [0, 2], [3, 4], [4, 5], [3, 5]])
    >>> scores = np.array([0.9, 0.9, 0.6, 0.9, 0.9, 0.9, 0.9])
    >>> guarded_components(chain, scores, 6, bridges=True).tolist()
    [0, 0, 0, 1, 1, 1]
    """
    check_guards(largest, density, apart)
    _check_arrays(scores, apart, sources, count)
    every = _simple(pairs, scores)
    graph = _within(every, every.scores >= threshold)
    if bridges:
        graph = _without_bridges(graph, count)
    if largest is None and not density and not apart and sources is None:
        return in_order(components(graph.pairs, count))
    if apart:
        graph = _with_near(graph, _within(every, every.scores < threshold), count)
    tree = merge_tree(graph.pairs, graph.scores, count, sources)
    allowed = tree.height >= threshold
    if apart:
        allowed = allowed & (_distances(tree) * apart <= _outside(tree))
    if largest is not None:
        allowed = allowed & (tree.size <= largest)
    if density:
        possible = tree.size * (tree.size - 1) / 2
        allowed = allowed & (pairs_inside(tree, graph.pairs, count) >= density * possible)
    return in_order(largest_nodes(tree, allowed, count))


def nested_components(
    pairs: Pairs,
    scores: Scores,
    count: int,
    thresholds: Sequence[float],
    *,
    largest: int | None = None,
    density: float = 0.0,
    bridges: bool = False,
    sources: Int[np.ndarray, " n"] | None = None,
    apart: float = 0.0,
) -> list[Labels]:
    """Clusters at several thresholds, those at a higher one within those at a lower one.

    The guards are those of `guarded_components`. A pair that the guards cut at one threshold joins
    nothing at all higher ones too.

    >>> pairs, scores = np.array([[0, 1], [1, 2]]), np.array([0.9, 0.6])
    >>> [one.tolist() for one in nested_components(pairs, scores, 3, [0.8, 0.5])]
    [[0, 0, 1], [0, 0, 0]]
    """
    found: dict[float, Labels] = {}
    labels = np.zeros(count, dtype=np.int64)
    for threshold in sorted(set(thresholds)):
        if not apart:  # which asks about pairs between clusters too
            kept = (scores >= threshold) & (labels[pairs[:, 0]] == labels[pairs[:, 1]])
            pairs, scores = pairs[kept], scores[kept]
        finer = guarded_components(
            pairs,
            scores,
            count,
            largest=largest,
            density=density,
            bridges=bridges,
            sources=sources,
            apart=apart,
            threshold=threshold,
        )
        labels = in_order(labels * count + finer)
        found[threshold] = labels
    return [found[threshold] for threshold in thresholds]


def average_link(
    pairs: Pairs, scores: Scores, count: int, *, threshold: float, missing: float = 0.0
) -> Labels:
    """Join clusters while the mean score of all pairs between them reaches the threshold.

    Agglomerative clustering with average linkage (Sokal and Michener 1958) within each component;
    chains fall apart because their ends have no pair.

    Args:
        pairs: Pairs of records.
        scores: One for each pair; NaN is no pair.
        count: How many records there are.
        threshold: Least mean score of two clusters that become one.
        missing: The score of a pair that is not there.

    Raises:
        UsageError: If a missing pair would reach the threshold, or a component has so many records
            that their pairs do not fit in memory.

    >>> average_link(np.array([[0, 1], [1, 2]]), np.array([0.9, 0.8]), 3, threshold=0.5).tolist()
    [0, 0, 1]
    """
    if missing >= threshold:
        raise UsageError(
            f"average_link: missing={missing:g} is not below threshold={threshold:g}; pairs that "
            "are not there would join everything."
        )
    graph = _simple(pairs, scores)
    joined = components(graph.pairs, count)
    labels = joined * count
    inside = joined[graph.pairs[:, 0]]
    order = np.argsort(inside, kind="stable")
    starts = np.searchsorted(inside[order], np.arange(count + 1))
    for number, rows in enumerate(members(joined)):
        own = order[starts[number] : starts[number + 1]]
        if len(rows) > FULL:
            raise UsageError(
                f"average_link: a component has {len(rows)} records, more than {FULL}; raise the "
                "threshold of the pairs, or use guarded components with a largest size."
            )
        if len(rows) > 1:
            part = _Graph(np.searchsorted(rows, graph.pairs[own]), graph.scores[own])
            labels[rows] += _linked(part, len(rows), threshold, missing)
    return in_order(labels)


def in_order(labels: Labels) -> Labels:
    """The same clusters, numbered by their first records.

    >>> in_order(np.array([7, 2, 7])).tolist()
    [0, 1, 0]
    """
    _, first, back = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[back]


def weak_bridges(pairs: Pairs, scores: Scores, count: int) -> Bool[np.ndarray, " m"]:
    """Which pairs are bridges that score below the median of their component and are dropped.

    A part of one record is not cut off. Of several bridges the weakest goes first, and what is
    left decides about the next.

    Args:
        pairs: Pairs of different records, each once.
        scores: One for each pair.
        count: How many records there are.
    """
    found = np.flatnonzero(bridge_pairs(pairs, count))
    if not len(found):
        return np.zeros(len(pairs), dtype=bool)
    weak = found[scores[found] < _medians(pairs, scores, count)[found]]
    degree = np.bincount(pairs.ravel(), minlength=count).tolist()
    dropped = np.zeros(len(pairs), dtype=bool)
    for place in weak[np.lexsort((pairs[weak, 1], pairs[weak, 0], scores[weak]))].tolist():
        one, other = pairs[place].tolist()
        # The part behind a bridge is a single record just when that record has no other pair.
        if degree[one] > 1 and degree[other] > 1:
            degree[one] -= 1
            degree[other] -= 1
            dropped[place] = True
    return dropped


def bridge_pairs(pairs: Pairs, count: int) -> Bool[np.ndarray, " m"]:
    """Which pairs are the only way between their records (Tarjan 1974).

    Args:
        pairs: Pairs of different records, each once.
        count: How many records there are.

    >>> bridge_pairs(np.array([[0, 1], [1, 2], [0, 2], [2, 3]]), 4).tolist()
    [False, False, False, True]
    """
    ends, start, edge = _adjacency(pairs, count)
    found = np.zeros(len(pairs), dtype=bool)
    when, low = [0] * count, [0] * count
    clock = 0
    for begin in np.unique(pairs).tolist():
        if when[begin]:
            continue
        clock += 1
        when[begin] = low[begin] = clock
        # A record, the pair that led to it, and which of its pairs comes next.
        path = [[begin, -1, start[begin]]]
        while path:
            node, came, place = path[-1]
            if place < start[node + 1]:
                path[-1][2] += 1
                following, through = ends[place], edge[place]
                if not when[following]:
                    clock += 1
                    when[following] = low[following] = clock
                    path.append([following, through, start[following]])
                elif through != came:
                    low[node] = min(low[node], when[following])
                continue
            path.pop()
            if path:
                above = path[-1][0]
                low[above] = min(low[above], low[node])
                found[came] = low[node] > when[above]
    return found


def check_guards(largest: int | None, density: float, apart: float = 0.0) -> None:
    """Refuse guards that mean nothing.

    Raises:
        UsageError: If one is outside what it may be.
    """
    if largest is not None and largest < 1:
        raise UsageError(
            f"clusters: largest={largest} is below 1; it is the most records of a cluster."
        )
    if not 0 <= density <= 1:
        raise UsageError(
            f"clusters: density={density:g} is outside [0, 1]; it is the share of a cluster's "
            "possible pairs that must be there."
        )
    if apart and not 1 <= apart < np.inf:
        raise UsageError(
            f"clusters: apart={apart:g} is below 1; it is how many times as far as a cluster "
            "reaches the nearest record outside must be, and 0 asks for nothing."
        )


def _check_arrays(
    scores: Scores, apart: float, sources: Int[np.ndarray, "_"] | None, count: int
) -> None:
    if sources is not None and len(sources) != count:
        raise UsageError(
            f"clusters: {len(sources)} sources for {count} records; give one for each record."
        )
    if apart and (scores > 1 + ROUNDING).any():
        raise UsageError(
            f"clusters: apart={apart:g} takes 1 - score for a distance, and there are scores up to "
            f"{np.nanmax(scores):g}; leave it out, and set a threshold."
        )


def _distances(tree: MergeTree) -> Float[np.ndarray, " t"]:
    """The distance of the farthest pair that holds each node together."""
    return np.asarray(np.maximum(1 - tree.height, 0), dtype=np.float64)


def _outside(tree: MergeTree) -> Float[np.ndarray, " t"]:
    """The distance of the nearest record outside each node; infinite where none is known."""
    return np.where(tree.parent < 0, np.inf, _distances(tree)[tree.parent])


def _within(graph: _Graph, which: Bool[np.ndarray, " p"]) -> _Graph:
    return _Graph(graph.pairs[which], graph.scores[which])


def _simple(pairs: Pairs, scores: Scores) -> _Graph:
    """Pairs of different records with a score, each once, with its best score."""
    kept = ~np.isnan(scores) & (pairs[:, 0] != pairs[:, 1])
    pairs, scores = np.sort(pairs[kept], axis=1), scores[kept].astype(np.float64)
    order = np.lexsort((-scores, pairs[:, 1], pairs[:, 0]))
    pairs, scores = pairs[order], scores[order]
    new = np.ones(len(pairs), dtype=bool)
    new[1:] = (pairs[1:] != pairs[:-1]).any(1)
    return _Graph(pairs[new].astype(np.int64), scores[new])


def _with_near(graph: _Graph, near: _Graph, count: int) -> _Graph:
    """Pairs that join, and those below the threshold that lie between what they join."""
    joined = components(graph.pairs, count)
    near = _within(near, joined[near.pairs[:, 0]] != joined[near.pairs[:, 1]])
    return _Graph(*(np.concatenate(both) for both in zip(graph, near, strict=True)))


def _without_bridges(graph: _Graph, count: int) -> _Graph:
    return _within(graph, ~weak_bridges(graph.pairs, graph.scores, count))


def _medians(pairs: Pairs, scores: Scores, count: int) -> Scores:
    """The median score of each pair's component."""
    inside = components(pairs, count)[pairs[:, 0]]
    order = np.lexsort((scores, inside))
    _, first, back, size = np.unique(
        inside[order], return_index=True, return_inverse=True, return_counts=True
    )
    ranked = scores[order]
    middle = (ranked[first + (size - 1) // 2] + ranked[first + size // 2]) / 2
    found = np.empty(len(scores))
    found[order] = middle[back]
    return found


def _adjacency(pairs: Pairs, count: int) -> tuple[list[int], list[int], list[int]]:
    """Neighbours of all records in one list, where each record's begin, and through which pair."""
    both = np.concatenate((pairs, pairs[:, ::-1]))
    order = np.argsort(both[:, 0], kind="stable")
    start = np.searchsorted(both[order, 0], np.arange(count + 1))
    edge = order % max(1, len(pairs))
    return both[order, 1].tolist(), start.tolist(), edge.tolist()


def _linked(part: _Graph, count: int, threshold: float, missing: float) -> Int[np.ndarray, " c"]:
    """Average linkage of one component."""
    table = np.full((count, count), missing)
    one, other = part.pairs.T
    table[one, other] = table[other, one] = part.scores
    top = max(float(part.scores.max()), missing)
    first, second = np.triu_indices(count, 1)
    merges = hierarchy.average(top - table[first, second])
    # Means of many numbers differ in their last bits from what they would be on paper.
    reach = (top - threshold) + 1e-12 * max(1.0, abs(top), abs(threshold))
    labels = hierarchy.fcluster(merges, reach, criterion="distance")
    return np.asarray(labels, dtype=np.int64) - 1
