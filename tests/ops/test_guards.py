"""Guarded clusters, against removing pairs one by one and looking at what is left."""

from __future__ import annotations

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops import guards as ops
from tokenry.ops.clusters import components
from tokenry.ops.merge_tree import merge_tree, pairs_inside

N = 8
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43)
SCORES = st.sampled_from([0.2, 0.4, 0.5, 0.5, 0.7, 0.9, 1.0])
EDGES = st.dictionaries(st.sampled_from(list(combinations(range(N), 2))), SCORES, max_size=16)
SOURCES = st.none() | st.lists(st.integers(-1, 3), min_size=N, max_size=N).map(np.array)
GUARDS = st.fixed_dictionaries(
    {
        "largest": st.none() | st.integers(1, N),
        "density": st.sampled_from([0.0, 0.4, 0.7, 1.0]),
        "bridges": st.booleans(),
        "sources": SOURCES,
        "apart": st.sampled_from([0.0, 1.5]),
    }
)


def arrays(edges):
    return np.array(list(edges), int).reshape(-1, 2), np.array(list(edges.values()), float)


def graph_of(edges):
    graph = nx.Graph()
    graph.add_nodes_from(range(N))
    graph.add_weighted_edges_from((a, b, s) for (a, b), s in edges.items())
    return graph


def sets(labels):
    return {frozenset(np.flatnonzero(labels == one).tolist()) for one in set(labels.tolist())}


def within(fine, coarse):
    return all(any(part <= whole for whole in coarse) for part in fine)


def taken_apart(graph, good):
    """Components that are good; others at the next score up, until all are."""
    for part in nx.connected_components(graph):
        inside = graph.subgraph(part)
        if len(part) == 1 or good(inside):
            yield frozenset(part)
            continue
        lowest = min(inside.edges(data="weight"), key=lambda edge: edge[2])[2]
        higher = nx.Graph(inside)
        higher.remove_edges_from([e[:2] for e in inside.edges(data="weight") if e[2] <= lowest])
        yield from taken_apart(higher, good)


@settings(deadline=None, max_examples=100)
@given(EDGES, st.integers(1, N))
def test_a_large_cluster_is_taken_at_a_higher_threshold(edges, largest):
    found = ops.guarded_components(*arrays(edges), N, largest=largest)
    assert sets(found) == {*taken_apart(graph_of(edges), lambda part: len(part) <= largest)}


@settings(deadline=None, max_examples=100)
@given(EDGES, st.sampled_from([0.3, 0.5, 0.67, 1.0]))
def test_a_cluster_has_enough_of_its_pairs(edges, density):
    graph = graph_of(edges)
    found = ops.guarded_components(*arrays(edges), N, density=density)

    def thick(part):
        return nx.density(graph.subgraph(part.nodes)) >= density

    assert sets(found) == {*taken_apart(graph, thick)}


@settings(deadline=None, max_examples=150)
@given(EDGES, st.sampled_from([1.0, 1.5, 2.0]), st.sampled_from([0.0, 0.5, 0.7]))
def test_a_cluster_stands_apart_from_what_is_near(edges, apart, threshold):
    graph = graph_of(edges)
    strong = graph.edge_subgraph([e for e in graph.edges if graph.edges[e]["weight"] >= threshold])
    strong = nx.Graph(strong)
    strong.add_nodes_from(range(N))

    def alone(part):
        holding = nx.maximum_spanning_edges(graph.subgraph(part.nodes), data=True)
        reach = max(1 - edge["weight"] for _, _, edge in holding)
        outside = [1 - graph.edges[e]["weight"] for e in nx.edge_boundary(graph, part.nodes)]
        return reach * apart <= min(outside, default=np.inf)

    found = ops.guarded_components(*arrays(edges), N, apart=apart, threshold=threshold)
    assert sets(found) == {*taken_apart(strong, alone)}


def dropped_one_by_one(edges):
    graph = graph_of(edges)
    median = {}
    for part in nx.connected_components(graph):
        scores = [s for _, _, s in graph.subgraph(part).edges(data="weight")]
        median |= dict.fromkeys(part, np.median(scores) if scores else 0.0)
    for (one, other), score in sorted(edges.items(), key=lambda item: (item[1], item[0])):
        less = nx.Graph(graph)
        less.remove_edge(one, other)
        sides = [nx.node_connected_component(less, end) for end in (one, other)]
        if sides[0] != sides[1] and min(map(len, sides)) > 1 and score < median[one]:
            graph = less
    return {frozenset(part) for part in nx.connected_components(graph)}


@settings(deadline=None, max_examples=150)
@given(EDGES)
def test_weak_bridges_are_dropped_weakest_first(edges):
    pairs, _ = arrays(edges)
    found = {tuple(pair) for pair in pairs[ops.bridge_pairs(pairs, N)].tolist()}
    assert found == {tuple(sorted(edge)) for edge in nx.bridges(graph_of(edges))}
    found = ops.guarded_components(*arrays(edges), N, bridges=True)
    assert sets(found) == dropped_one_by_one(edges)


@settings(deadline=None, max_examples=100)
@given(EDGES, st.lists(st.integers(-1, 3), min_size=N, max_size=N))
def test_no_source_comes_twice_and_the_best_pairs_join_first(edges, sources):
    found = ops.guarded_components(*arrays(edges), N, sources=np.array(sources))
    parts = [{row} for row in range(N)]
    for (one, other), _ in sorted(edges.items(), key=lambda item: (-item[1], item[0])):
        first, second = (next(p for p in parts if end in p) for end in (one, other))
        named = [sources[row] for row in first | second if sources[row] >= 0]
        if first is not second and len(named) == len(set(named)):
            parts = [p for p in parts if p not in (first, second)] + [first | second]
    assert sets(found) == {frozenset(part) for part in parts}


@settings(deadline=None, max_examples=150)
@given(EDGES, GUARDS)
def test_guards_only_split_and_clusters_are_nested(edges, guards):
    pairs, scores = arrays(edges)
    found = ops.nested_components(pairs, scores, N, [0.7, 0.0, 0.5], **guards)
    high, low, middle = map(sets, found)
    assert within(high, middle)
    assert within(middle, low)
    for threshold, parts in zip([0.7, 0.0, 0.5], (high, low, middle), strict=True):
        assert within(parts, sets(components(pairs[scores >= threshold], N)))
    for part in [*low, *high]:
        assert guards["largest"] is None or len(part) <= guards["largest"]
        named = [] if guards["sources"] is None else guards["sources"][list(part)].tolist()
        named = [one for one in named if one >= 0]
        assert len(named) == len(set(named))


@settings(deadline=None, max_examples=60)
@given(EDGES, st.randoms(use_true_random=False), GUARDS)
def test_order_repeats_and_direction_change_nothing(edges, shuffle, guards):
    pairs, scores = arrays(edges)
    order = list(range(len(pairs))) * 2
    shuffle.shuffle(order)
    other, less = pairs[order], scores[order]
    other = np.concatenate((other[:, ::-1], other, [[1, 2], [3, 3]]))
    less = np.concatenate((less, less - 0.1, [np.nan, 1.0]))
    found = ops.guarded_components(pairs, scores, N, **guards)
    assert found.tolist() == ops.guarded_components(other, less, N, **guards).tolist()


def averaged(edges, threshold):
    parts = [frozenset([row]) for row in range(N)]

    def mean(one, other):
        every = [edges.get(tuple(sorted((a, b))), 0.0) for a in one for b in other]
        return sum(every) / len(every)

    while True:
        best = max(combinations(parts, 2), key=lambda two: mean(*two))
        if len(parts) == 1 or mean(*best) < threshold - 1e-12:
            return set(parts)
        parts = [part for part in parts if part not in best] + [best[0] | best[1]]
        if len(parts) == 1:
            return set(parts)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_average_linkage_joins_the_two_nearest_clusters(data):
    pool = list(combinations(range(N), 2))
    chosen = data.draw(st.lists(st.sampled_from(pool), unique=True, max_size=14))
    # Square roots of primes: no two means of such scores are equal, so that there is one answer.
    edges = {
        pair: 0.3 + 0.7 * (prime**0.5 % 1) for pair, prime in zip(chosen, PRIMES, strict=False)
    }
    for threshold in (0.25, 0.5):
        found = ops.average_link(*arrays(edges), N, threshold=threshold)
        assert sets(found) == averaged(edges, threshold)


def test_average_linkage_says_what_it_cannot_do():
    edge = np.array([[0, 1]]), np.array([0.5])
    with pytest.raises(UsageError, match=r"missing=0 is not below threshold=-1"):
        ops.average_link(*edge, 2, threshold=-1.0)
    path = np.stack((np.arange(ops.FULL), np.arange(1, ops.FULL + 1)), 1)
    with pytest.raises(UsageError, match="a component has 5001 records"):
        ops.average_link(path, np.ones(ops.FULL), ops.FULL + 1, threshold=0.5)


def test_a_chain_of_a_thousand_records_is_cut_at_its_weak_bridge():
    chain = np.stack((np.arange(999), np.arange(1, 1000)), 1)
    scores = np.full(999, 0.9)
    scores[400] = 0.6
    found = ops.guarded_components(chain, scores, 1000, bridges=True)
    assert sets(found) == {frozenset(range(401)), frozenset(range(401, 1000))}


def records(tree, node, count):
    if node < count:
        return [node]
    one, other = tree.children[node]
    return records(tree, one, count) + records(tree, other, count)


def test_nodes_know_the_pairs_inside_them():
    rng = np.random.default_rng(1)
    pairs = np.array([p for p in combinations(range(40), 2) if rng.random() < 0.08])
    scores = rng.random(len(pairs)).round(1)
    tree = merge_tree(pairs, scores, 40)
    inside = pairs_inside(tree, pairs, 40)
    for node in range(40, len(tree.parent)):
        held = records(tree, node, 40)
        assert inside[node] == np.isin(pairs, held).all(1).sum()
        assert len(held) == tree.size[node]


@pytest.mark.parametrize(
    ("guard", "message"),
    [
        ({"largest": 0}, "largest=0 is below 1"),
        ({"density": 1.5}, r"density=1.5 is outside \[0, 1\]"),
        ({"sources": np.zeros(2, int)}, "2 sources for 3 records"),
        ({"apart": 0.5}, "apart=0.5 is below 1"),
        ({"apart": 2.0}, "there are scores up to 7.5; leave it out"),
    ],
)
def test_a_guard_that_cannot_be_is_refused(guard, message):
    with pytest.raises(UsageError, match=message):
        ops.guarded_components(np.array([[0, 1]]), np.array([7.5]), 3, **guard)


def test_nothing_to_join():
    none = np.zeros((0, 2), int), np.zeros(0)
    guards = {"largest": 2, "density": 0.5, "bridges": True, "sources": np.zeros(3, int)}
    assert ops.guarded_components(*none, 3, **guards).tolist() == [0, 1, 2]
    assert ops.guarded_components(*none, 0).tolist() == []
    assert ops.average_link(*none, 2, threshold=0.5).tolist() == [0, 1]
