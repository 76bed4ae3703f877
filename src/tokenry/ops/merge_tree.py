"""How records join into clusters as the threshold falls, as a tree.

Records are the nodes 0 to n - 1; each further node is where two clusters become one, in the order
in which that happens, so that a node always comes before its parent. A cluster at a threshold is
a node that came to be at or above it. All guards that look at a cluster as a whole (its size, its
density) ask the nodes of this tree, which is why clusters at a higher threshold always lie within
those at a lower one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

Pairs = Int[np.ndarray, "m 2"]
Scores = Float[np.ndarray, " m"]
Nodes = Int[np.ndarray, " t"]
Records = Int[np.ndarray, " n"]
Places = Int[np.ndarray, " m"]


class MergeTree(NamedTuple):
    """Clusters within clusters.

    Attributes:
        parent: The node that a node becomes part of; -1 at the top.
        children: The two nodes that a node is made of; -1 of a record.
        height: The score at which a node came to be; infinite of a record.
        size: How many records are in it.
    """

    parent: Nodes
    children: Int[np.ndarray, "t 2"]
    height: Float[np.ndarray, " t"]
    size: Nodes


def merge_tree(
    pairs: Pairs, scores: Scores, count: int, sources: Records | None = None
) -> MergeTree:
    """Join records along pairs, the best pair first (Kruskal 1956).

    Args:
        pairs: Pairs of different records, each once.
        scores: One for each pair.
        count: How many records there are.
        sources: The source of each record. Two records of one source never join, neither directly
            nor through others; a record with -1 may be with any.
    """
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -scores))
    if sources is None:
        order = _spanning(pairs, order, count)
    parent, height, size = [-1] * count, [np.inf] * count, [1] * count
    children = [(-1, -1)] * count
    top = list(range(count))
    held = None if sources is None else [{s} if s >= 0 else set() for s in sources.tolist()]
    edges = zip(pairs[order].tolist(), scores[order].tolist(), strict=True)
    for (first, second), score in edges:
        one, other = _root(top, first), _root(top, second)
        if one == other or (held is not None and not held[one].isdisjoint(held[other])):
            continue
        node = len(parent)
        parent[one] = parent[other] = top[one] = top[other] = node
        parent.append(-1)
        top.append(node)
        height.append(score)
        size.append(size[one] + size[other])
        children.append((one, other))
        if held is not None:
            held.append(_joined(held, one, other))
    return MergeTree(
        np.array(parent, dtype=np.int64),
        np.array(children, dtype=np.int64).reshape(-1, 2),
        np.array(height, dtype=np.float64),
        np.array(size, dtype=np.int64),
    )


def largest_nodes(tree: MergeTree, allowed: Bool[np.ndarray, " t"], count: int) -> Records:
    """The largest allowed node above each record, itself if there is none.

    Only clusters that exist at some threshold count: a node with a parent of the same height is
    half of one.
    """
    whole = tree.parent < 0
    whole |= tree.height > tree.height[tree.parent]
    owner = [-1] * len(tree.parent)
    nodes = zip(tree.parent.tolist(), (allowed & whole).tolist(), strict=True)
    for node, (above, good) in reversed(list(enumerate(nodes))):
        higher = owner[above] if above >= 0 else -1
        owner[node] = higher if higher >= 0 else node if good or node < count else -1
    return np.array(owner[:count], dtype=np.int64)


def pairs_inside(tree: MergeTree, pairs: Pairs, count: int) -> Nodes:
    """How many of the pairs have both records within a node."""
    first, last = _spans(tree)
    meeting = _meeting(tree, first, last, pairs)
    inside = np.bincount(meeting[meeting >= 0], minlength=len(tree.parent)).tolist()
    for node, above in enumerate(tree.parent.tolist()):
        if above >= 0:
            inside[above] += inside[node]
    found = np.array(inside, dtype=np.int64)
    found[:count] = 0
    return found


def _spanning(pairs: Pairs, order: Places, count: int) -> Int[np.ndarray, " k"]:
    """Only the pairs that join anything, in the same order."""
    # Ranks in place of scores: they start at one, and to scipy a weight of zero is no edge.
    rank = np.arange(1, len(order) + 1, dtype=np.float64)
    ends = (pairs[order, 0], pairs[order, 1])
    graph = sparse.coo_array((rank, ends), shape=(count, count)).tocsr()
    kept = np.sort(np.asarray(sparse.csgraph.minimum_spanning_tree(graph).data)).astype(np.int64)
    return np.asarray(order[kept - 1])


def _root(top: list[int], node: int) -> int:
    while top[node] != node:
        top[node] = top[top[node]]
        node = top[node]
    return node


def _joined(held: list[set[int]], one: int, other: int) -> set[int]:
    """The sources of both; the smaller set is put into the larger one, so that it stays quick."""
    small, large = sorted((held[one], held[other]), key=len)
    large |= small
    held[one] = held[other] = large
    return large


def _spans(tree: MergeTree) -> tuple[Nodes, Nodes]:
    """Places of the records in an order in which those of each node stand side by side."""
    size, first = tree.size.tolist(), [0] * len(tree.parent)
    place = 0
    nodes = zip(tree.parent.tolist(), tree.children.tolist(), strict=True)
    for node, (above, (one, other)) in reversed(list(enumerate(nodes))):
        if above < 0:
            first[node] = place
            place += size[node]
        if one >= 0:
            first[one], first[other] = first[node], first[node] + size[one]
    begin = np.array(first, dtype=np.int64)
    return begin, begin + tree.size


def _meeting(tree: MergeTree, first: Nodes, last: Nodes, pairs: Pairs) -> Places:
    """The smallest node with both records of each pair; -1 where there is none.

    The first record's node climbs in steps of powers of two while the second one is outside it.
    """
    steps = [tree.parent]
    while (steps[-1] >= 0).any():
        before = steps[-1]
        steps.append(np.where(before >= 0, before[before], -1))
    node, place = pairs[:, 0].copy(), first[pairs[:, 1]]
    for step in reversed(steps):
        above = step[node]
        outside = (above >= 0) & ((place < first[above]) | (place >= last[above]))
        node = np.where(outside, above, node)
    return np.asarray(tree.parent[node])
