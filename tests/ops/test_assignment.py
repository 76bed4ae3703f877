"""Links from scored pairs, against every matching there is."""

from __future__ import annotations

import time
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.ops import assignment as ops

SCORES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5, 0.75, 1.0, float("nan")])
EDGES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), SCORES), max_size=9)
ONE_TO_ONE = [ops.mutual, ops.one_to_one, ops.greedy]


def arrays(edges):
    left, right, score = zip(*edges, strict=True) if edges else ((), (), ())
    return np.array(left, int), np.array(right, int), np.array(score, float)


def matchings(edges):
    """Every choice of scored pairs in which no row comes twice."""
    real = [i for i, edge in enumerate(edges) if edge[2] == edge[2]]
    for size in range(len(real) + 1):
        for chosen in combinations(real, size):
            lefts, rights = {edges[i][0] for i in chosen}, {edges[i][1] for i in chosen}
            if len(lefts) == len(rights) == size:
                yield chosen


def total(edges, chosen):
    return sum(edges[i][2] for i in chosen)


def rows(edges, chosen):
    return sorted(edges[i][:2] for i in chosen)


@settings(deadline=None, max_examples=150)
@given(EDGES)
def test_one_to_one_is_the_best_of_all_matchings_and_the_largest_of_those(edges):
    kept = ops.one_to_one(*arrays(edges)).tolist()
    best = max(matchings(edges), key=lambda chosen: (total(edges, chosen), len(chosen)))
    assert tuple(kept) in set(matchings(edges))
    assert total(edges, kept) == pytest.approx(total(edges, best), abs=1e-12)
    assert len(kept) == len(best)


@settings(deadline=None, max_examples=60)
@given(EDGES, st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_changes_nothing(edges, shuffle):
    other = list(edges)
    shuffle.shuffle(other)
    for rule in ops.ASSIGNMENTS.values():
        assert rows(edges, rule(*arrays(edges))) == rows(other, rule(*arrays(other)))


@settings(deadline=None, max_examples=60)
@given(EDGES)
def test_the_best_of_a_row_has_the_best_score_and_then_the_lower_right_row(edges):
    real = [edge for edge in edges if edge[2] == edge[2]]
    own = {a: min((-s, b) for x, b, s in real if x == a)[1] for a, _, _ in real}
    theirs = {b: min((-s, a) for a, x, s in real if x == b)[1] for _, b, _ in real}
    assert rows(edges, ops.best_left(*arrays(edges))) == sorted(own.items())
    both = sorted((a, b) for a, b in own.items() if theirs[b] == a)
    assert rows(edges, ops.mutual(*arrays(edges))) == both


@settings(deadline=None, max_examples=60)
@given(EDGES)
def test_greedy_has_at_least_half_of_the_best_total(edges):
    kept = ops.greedy(*arrays(edges))
    assert tuple(kept.tolist()) in set(matchings(edges))
    assert 2 * total(edges, kept) >= total(edges, ops.one_to_one(*arrays(edges))) - 1e-12


@settings(deadline=None, max_examples=60)
@given(EDGES)
def test_a_large_component_is_solved_the_same_without_a_full_matrix(edges):
    dense = ops.one_to_one(*arrays(edges))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops, "DENSE", 0)
        sparse = ops.one_to_one(*arrays(edges))
    assert total(edges, dense) == pytest.approx(total(edges, sparse), abs=1e-12)
    assert len(dense) == len(sparse)


def test_ties_go_to_lower_rows():
    left, right = (grid.ravel() for grid in np.meshgrid(range(3), range(3), indexing="ij"))
    kept = ops.one_to_one(left, right, np.full(9, 0.5))
    assert rows(list(zip(left, right, strict=True)), kept) == [(0, 0), (1, 1), (2, 2)]


def test_distances_below_zero_are_matched_as_well():
    pairs = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 0]), np.array([-2.0, -1.0, -1.5, -3.0])
    assert ops.one_to_one(*pairs).tolist() == [0, 2]


@pytest.mark.parametrize("rule", ops.ASSIGNMENTS.values(), ids=ops.ASSIGNMENTS)
def test_nothing_in_nothing_out(rule):
    assert rule(*arrays([])).tolist() == []
    assert rule(np.array([3]), np.array([4]), np.array([np.nan])).tolist() == []


@pytest.mark.parametrize("shape", ["apart", "together"])
def test_five_thousand_pairs_take_less_than_a_second(shape):
    rng = np.random.default_rng(0)
    near = 3 if shape == "apart" else 2500
    left = rng.integers(0, 2500, 5000)
    right = left // near * near + rng.integers(0, near, 5000)
    start = time.process_time()
    kept = ops.one_to_one(left, right, rng.random(5000))
    assert time.process_time() - start < 1
    assert len(np.unique(left[kept])) == len(np.unique(right[kept])) == len(kept)
