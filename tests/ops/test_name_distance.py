"""Distances of names against sets, the calibrated reach against closed forms, joins by loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops.calibration import least_score, reach
from tokenry.ops.name_distance import FuzzyDistance, VectorDistance, grams
from tokenry.ops.name_match import balanced, distances, match_divergence
from tokenry.ops.name_network import Network, first_of_pairs, joined

NAMES = st.lists(st.text("abc é", max_size=7) | st.none(), min_size=1, max_size=6)


def fuzzy_by_hand(a, b):
    if not a or not b:
        return math.nan
    twos, threes = ([grams(a, q), grams(b, q)] for q in (2, 3))
    if len(threes[0] & threes[1]) < math.ceil(0.05 * min(map(len, threes))):
        return 1.0
    return 1 - len(twos[0] & twos[1]) / len(twos[0] | twos[1])


@settings(deadline=None, max_examples=80)
@given(NAMES, NAMES)
def test_fuzzy_distance_is_that_of_sets_and_symmetric(left, right):
    far = FuzzyDistance(left, right)
    whole = slice(0, None)
    found = far.tile(whole, whole)
    wanted = [[fuzzy_by_hand(a, b) for b in right] for a in left]
    np.testing.assert_allclose(found, wanted)
    np.testing.assert_array_equal(FuzzyDistance(right, left).tile(whole, whole), found.T)
    rows, columns = (part.ravel() for part in np.indices(found.shape))
    np.testing.assert_array_equal(far.pairs(rows, columns), found.ravel())


def test_names_of_one_letter_have_a_distance():
    far = FuzzyDistance(["x", "xy"], ["x", "y"])
    assert far.tile(slice(0, 2), slice(0, 2)).tolist() == [[0, 1], [1, 1]]


def test_vector_distance_of_equal_and_of_unlike_vectors():
    eye = np.eye(2)
    far = VectorDistance(eye, eye)
    found = far.tile(slice(0, 2), slice(0, 2))
    np.testing.assert_allclose(found, [[0.01, math.sqrt(1.0001)], [math.sqrt(1.0001), 0.01]])
    np.testing.assert_allclose(far.pairs(np.array([0]), np.array([1])), found[:1, 1])
    both = distances(torch.eye(2), torch.eye(2))
    np.testing.assert_allclose(both.numpy(), found, atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.01, 60), st.integers(0, 9))
def test_reach_is_numpys_quantile_at_the_closed_form(left, right, average, seed):
    far = np.random.default_rng(seed).random((left, right)) + 0.01
    level = min(1.0, average / math.sqrt(left * right))
    assert reach(far, left, right, average) == pytest.approx(np.quantile(far, level))
    least = least_score(1 - far, left, right, average)
    assert least == pytest.approx(1 - np.quantile(far, level), abs=2e-6)


def test_a_record_has_so_many_matches_on_average():
    draw = np.random.default_rng(0)
    left, right, average = 300, 500, 4.0
    accepted = []
    for _ in range(20):
        far = draw.random((left, right))
        sample = far[draw.choice(left, 150, replace=False)]
        accepted.append((far <= reach(sample, left, right, average)).sum())
    records = math.sqrt(left * right)
    error = np.std(accepted) / records / math.sqrt(len(accepted))
    assert abs(np.mean(accepted) / records - average) < 4 * error


def test_reach_at_the_edges():
    assert reach(np.zeros((0, 3)), 0, 3, 1) == math.inf
    assert reach(np.array([0.0]), 1, 1, 1) == 1e-6
    assert reach(np.array([0.2, np.nan, 0.4]), 1, 2, 9) == pytest.approx(0.4)
    # What is no candidate is never within reach, however many matches are asked for.
    assert reach(np.array([0.2, 0.5, np.inf, np.inf]), 2, 2, 0.8) == pytest.approx(0.5)
    with pytest.raises(UsageError, match="average"):
        reach(np.array([0.2]), 1, 1, 0)


def near(draw, count, ids):
    some = np.flatnonzero(draw.random(count * ids) < 0.4)
    return some // ids, some % ids, draw.random(len(some)).round(2)


@pytest.mark.parametrize("seed", range(4))
def test_network_distances_are_the_least_over_ids(seed):
    draw = np.random.default_rng(seed)
    left, right = near(draw, 5, 3), near(draw, 4, 3)
    network = Network(left, right, (5, 4), 1.5)
    dx, dy = np.full((5, 3), np.inf), np.full((4, 3), np.inf)
    dx[left[0], left[1]], dy[right[0], right[1]] = left[2], right[2]
    wanted = 1.5 * np.maximum(dx[:, None], dy[None]).min(2)
    found = network.tile(slice(0, 5), slice(0, 4))
    np.testing.assert_allclose(np.where(np.isnan(found), np.inf, found), wanted)
    swapped = Network(right, left, (4, 5), 1.5).tile(slice(0, 4), slice(0, 5))
    np.testing.assert_array_equal(swapped.T, found)
    rows, columns = (part.ravel() for part in np.indices(found.shape))
    np.testing.assert_array_equal(network.pairs(rows, columns), found.ravel())
    assert network.farthest == pytest.approx(np.nanmax(found, initial=0))


def test_nothing_joins_nothing():
    none = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    assert [len(part) for part in joined(none, none)] == [0, 0, 0]
    assert [len(part) for part in first_of_pairs(*none)] == [0, 0, 0]
    assert np.isnan(Network(none, none, (2, 2), 2).tile(slice(0, 2), slice(0, 2))).all()


def test_pairs_to_learn_from_are_balanced_and_hard_ones_match_nothing():
    far = distances(*(torch.nn.functional.normalize(torch.randn(2, 6, 3), dim=-1)))
    match = torch.eye(6)
    match[0] = 0.5  # this row matches every column, so that there is no hard one
    rows, columns = balanced(far, match)
    assert len(rows) == 6 + 6 + 5
    assert (rows[:6] == columns[:6]).all()
    assert (match[rows[12:], columns[12:]] == 0).all()
    for row, column in zip(rows[12:], columns[12:], strict=True):
        assert far[row, column] == far[row][match[row] == 0].min()


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 1), st.floats(0, 2))
def test_divergence_is_that_of_two_coins(match, far):
    said = 1 / (1 + math.exp(-(1.5 - 2 * far)))
    wanted = sum(p * math.log(p / q) for p, q in ((match, said), (1 - match, 1 - said)) if p > 0)
    found = match_divergence(
        torch.tensor([far]), torch.tensor([match]), torch.tensor(1.5), torch.tensor(2.0)
    )
    assert float(found) == pytest.approx(wanted, abs=1e-5)
