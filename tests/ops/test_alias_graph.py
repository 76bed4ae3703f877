"""Match probabilities, communities and Markov clusters against sums, networkx and planted ones."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from tokenry.errors import UsageError
from tokenry.ops.alias_graph import AliasCounts, communities
from tokenry.ops.clusters import adjusted_rand
from tokenry.ops.markov import markov_clusters, sharpened, stochastic

LOGS = st.lists(
    st.tuples(st.sampled_from("abcde"), st.integers(0, 3), st.integers(1, 9)),
    min_size=1,
    max_size=20,
)


def by_hand(entries, one, other):
    """P(a ~ a') as a sum over ids."""
    total = 0.0
    for who in {who for _, who, _ in entries}:
        product = 1.0
        for alias in (one, other):
            own = sum(n for a, w, n in entries if a == alias and w == who)
            product *= own / sum(n for a, _, n in entries if a == alias)
        total += product
    return total


@settings(deadline=None, max_examples=60)
@given(LOGS)
def test_match_is_the_sum_over_ids_and_ranks_alike(entries):
    log = AliasCounts.of(*(list(part) for part in zip(*entries, strict=True)))
    wanted = np.array([[by_hand(entries, a, b) for b in log.aliases] for a in log.aliases])
    found = log.match().toarray()
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert (
        np.argsort(-found.round(9), 1, kind="stable")
        == np.argsort(-wanted.round(9), 1, kind="stable")
    ).all()
    places = np.arange(len(log.aliases))
    np.testing.assert_allclose(log.match_of(places, places[::-1]), wanted[places, places[::-1]])


def test_entries_without_alias_id_or_count_are_left_out():
    log = AliasCounts.of(
        ["a", None, "", "b", "c", "d"], [1, 1, 1, None, 2, 2], [2, 1, 1, 1, float("nan"), 0]
    )
    assert (log.aliases, log.ids) == (("a",), (1,))
    assert AliasCounts.of(["a", "a", "b"], [1, 2, 1], least=2).aliases == ("a",)
    assert AliasCounts.of([], []).match().shape == (0, 0)
    with pytest.raises(UsageError, match="-1"):
        AliasCounts.of(["a"], [1], [-1])


def planted(sizes, inside, across, seed=0):
    draw = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    chance = np.where(labels[:, None] == labels, inside, across)
    ties = np.triu(draw.random(chance.shape) < chance, 1)
    return sparse.csr_array((ties | ties.T).astype(float)), labels


@pytest.mark.parametrize("seed", range(3))
def test_markov_clustering_recovers_a_planted_partition(seed):
    ties, labels = planted((20, 15, 25), 0.7, 0.02, seed)
    assert adjusted_rand(markov_clusters(ties), labels) == 1


def test_columns_of_the_walk_sum_to_one():
    ties, _ = planted((8, 8), 0.6, 0.1)
    flow = stochastic(sparse.csc_array(ties + sparse.eye_array(16)))
    for _ in range(10):
        flow = sharpened(flow @ flow, 2.0, 1e-3)
        np.testing.assert_allclose(flow.sum(0), 1)


def test_markov_clusters_do_not_span_components_and_a_sharper_walk_splits_more():
    ties, _ = planted((12, 12), 0.5, 0.15)
    two = sparse.csr_array(sparse.block_diag([ties, ties]))
    labels = markov_clusters(two)
    assert not set(labels[:24]) & set(labels[24:])
    counts = [len(set(markov_clusters(ties, r))) for r in (1.3, 2, 6)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]
    assert markov_clusters(sparse.csr_array((0, 0))).shape == (0,)
    assert markov_clusters(sparse.csr_array((2, 2))).tolist() == [0, 1]
    with pytest.raises(UsageError, match="inflation"):
        markov_clusters(ties, 1.0)


def test_communities_are_those_of_networkx_and_no_single_join_raises_modularity():
    entries = [(f"{who}-{n}", who, 5) for who in range(4) for n in range(4)]
    entries += [("0-1", 1, 1), ("2-2", 3, 1)]
    log = AliasCounts.of(*(list(part) for part in zip(*entries, strict=True)))
    labels = communities(log)
    assert adjusted_rand(labels, np.array([int(a[0]) for a in log.aliases])) == 1
    graph = nx.Graph()
    graph.add_weighted_edges_from((a, f"id {w}", n) for a, w, n in entries)
    parts = [
        {a for a, label in zip(log.aliases, labels, strict=True) if label == one} | {f"id {who}"}
        for who, one in enumerate(labels[[0, 4, 8, 12]])
    ]
    assert nx.community.is_partition(graph, parts)
    best = nx.community.modularity(graph, parts)
    for i in range(4):
        for j in range(i):
            rest = [p for at, p in enumerate(parts) if at not in (i, j)]
            assert nx.community.modularity(graph, [*rest, parts[i] | parts[j]]) < best
    assert communities(AliasCounts.of([], [])).shape == (0,)
