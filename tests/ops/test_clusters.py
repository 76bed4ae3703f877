"""Clusters and their measures, against scikit-learn and loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.ops import clusters as ops

LABELS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=14)


def pairs(labels):
    n = len(labels)
    return {(i, j) for i in range(n) for j in range(i + 1, n) if labels[i] == labels[j]}


def share(part, whole):
    return len(part) / len(whole) if whole else 1.0


@settings(deadline=None, max_examples=60)
@given(LABELS)
def test_measures_are_those_of_loops_and_of_scikit_learn(drawn):
    from sklearn.metrics import adjusted_rand_score

    labels, gold = (np.array(one) for one in zip(*drawn, strict=True))
    found, true = pairs(labels), pairs(gold)
    assert {*map(tuple, ops.pairs_within(labels).tolist())} == found
    agreed = ops.pair_agreement(labels, gold)
    assert agreed[:2] == (share(found & true, found), share(found & true, true))
    assert agreed == ops.edge_agreement(ops.pairs_within(labels), ops.pairs_within(gold))
    assert ops.adjusted_rand(labels, gold) == pytest.approx(adjusted_rand_score(gold, labels))
    cubed = ops.b_cubed(labels, gold)
    each = range(len(labels))
    same = [{j for j in each if labels[j] == labels[i]} for i in each]
    real = [{j for j in each if gold[j] == gold[i]} for i in each]
    both = [len(a & b) for a, b in zip(same, real, strict=True)]
    assert cubed.precision == pytest.approx(
        np.mean([n / len(a) for n, a in zip(both, same, strict=True)])
    )
    assert cubed.recall == pytest.approx(
        np.mean([n / len(a) for n, a in zip(both, real, strict=True)])
    )


@settings(deadline=None, max_examples=60)
@given(LABELS)
def test_all_measures_are_sums_over_the_true_clusters(drawn):
    labels, gold = (np.array(one) for one in zip(*drawn, strict=True))
    parts = ops.entity_parts(labels, gold)
    assert len(parts) == len(set(gold.tolist()))
    found = ops.measures_of(parts.sum(0, keepdims=True))[0]
    wanted = (
        *ops.pair_agreement(labels, gold),
        *ops.b_cubed(labels, gold),
        ops.adjusted_rand(labels, gold),
    )
    assert found == pytest.approx(wanted)
    assert ops.record_scores(labels, gold).mean(0) == pytest.approx(found[3:5])
    for entity, part in zip(np.unique(gold), parts, strict=True):
        cubed = ops.record_scores(labels, gold)[gold == entity].sum(0)
        assert part[4:] == pytest.approx(cubed)
        own = set(np.flatnonzero(gold == entity).tolist())
        # A pair counts once for each of its records in the entity, which makes it a half for each.
        halves = sum(len({i, j} & own) for i, j in pairs(labels)) / 2
        assert part[:3] == pytest.approx(
            (len(own), len({p for p in pairs(labels) if set(p) <= own}), halves)
        )


def test_a_large_cluster_is_never_listed_pair_by_pair():
    labels = np.zeros(200_000, dtype=np.int64)
    gold = np.arange(200_000) // 2
    assert ops.pair_agreement(labels, gold).precision == pytest.approx(1 / 199_999)
    assert ops.b_cubed(labels, gold).precision == pytest.approx(1e-5)


def test_no_record_at_all_is_no_error():
    none = np.zeros(0, dtype=np.int64)
    assert ops.b_cubed(none, none) == (1.0, 1.0, 1.0)
    assert ops.pair_agreement(none, none) == (1.0, 1.0, 1.0)


def test_components_join_through_others():
    found = ops.components(np.array([[0, 1], [1, 3], [4, 5]]), 7)
    assert pairs(found) == {(0, 1), (0, 3), (1, 3), (4, 5)}
    assert [one.tolist() for one in ops.members(found)] == [[0, 1, 3], [2], [4, 5], [6]]
    assert ops.members(np.zeros(0, int)) == []
