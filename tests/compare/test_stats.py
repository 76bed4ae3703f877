"""Intervals, tests and verdicts against scipy and against what they promise."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap, t

from tokenry.compare import stats
from tokenry.compare.records import Interval


def interval(values, seed=0):
    values = np.asarray(values, dtype=float)
    return stats.mean_interval(values, stats.resampled_means(values[None], seed)[0])


def test_bootstrap_is_the_one_of_scipy_for_large_samples():
    values = np.random.default_rng(0).exponential(size=2000)
    ours = interval(values)
    rng = np.random.default_rng(1)
    theirs = bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=rng, batch=100
    ).confidence_interval
    spread = theirs.high - theirs.low
    assert ours.value == values.mean()
    assert abs(ours.low - theirs.low) < 0.06 * spread
    assert abs(ours.high - theirs.high) < 0.06 * spread


@pytest.mark.parametrize("n", [8, 30])
def test_intervals_cover_the_mean_as_often_as_they_say(n):
    rng = np.random.default_rng(0)
    hits = [
        found.low <= 0 <= found.high
        for found in (interval(rng.standard_normal(n), seed) for seed in range(400))
    ]
    assert 0.92 < np.mean(hits) < 0.98


def test_plain_percentiles_would_be_too_narrow():
    draws = stats.resampled_means(np.random.default_rng(0).standard_normal((200, 8)), 0)
    low, high = np.quantile(draws, [0.025, 0.975], axis=1)
    assert np.mean((low <= 0) & (high >= 0)) < 0.92


def test_rows_share_their_resamples():
    values = np.random.default_rng(0).standard_normal((1, 20))
    draws = stats.resampled_means(np.concatenate([values, values + 3]), 5)
    np.testing.assert_allclose(draws[1] - draws[0], 3)
    np.testing.assert_array_equal(draws, stats.resampled_means(np.vstack([values, values + 3]), 5))


@pytest.mark.parametrize("n", [1, 2, 50])
def test_constant_differences_have_no_spread_and_no_warning(n):
    assert interval(np.full(n, 0.25)) == Interval(0.25, 0.25, 0.25)


def test_t_interval_is_the_one_of_scipy():
    values = np.array([[0.9, 1.1, 1.4, 1.2], [2.0, 2.0, 2.5, 1.0]])
    low, high = stats.t_bounds(values)
    error = values.std(1, ddof=1) / 2
    expected = t.interval(0.95, 3, loc=values.mean(1), scale=error)
    np.testing.assert_allclose([low, high], expected)


def test_log_interval_is_a_geometric_mean():
    found = stats.log_interval(np.log([1.0, 4.0, 2.0]))
    assert found.value == pytest.approx(2)
    assert found.low * found.high == pytest.approx(4)
    assert astuple(stats.log_interval(np.log([3.0]))) == pytest.approx((3, 3, 3))


def table(both, won, lost, neither):
    """Right/wrong scores of a method and of the untouched model."""
    ours = [1.0] * (both + won) + [0.0] * (lost + neither)
    theirs = [1.0] * both + [0.0] * won + [1.0] * lost + [0.0] * neither
    return np.array(ours), np.array(theirs)


@pytest.mark.parametrize(("won", "lost"), [(10, 2), (2, 10), (0, 6), (3, 3)])
def test_mcnemar_depends_on_the_discordant_pairs_only(won, lost):
    expected = binomtest(won, won + lost, 0.5).pvalue
    assert stats.mcnemar(*table(50, won, lost, 7)) == pytest.approx(expected)
    assert stats.mcnemar(*table(0, won, lost, 0)) == pytest.approx(expected)


def test_mcnemar_of_a_table_in_a_book():
    # Agresti, Categorical Data Analysis, 10.1.2: approval ratings, 86 against 150.
    assert stats.mcnemar(*table(794, 86, 150, 570)) == pytest.approx(3.7e-5, rel=0.1)


def test_mcnemar_without_disagreement():
    assert stats.mcnemar(*table(5, 0, 0, 5)) == 1


def judge(differences, *, p_value=None, higher=True):
    differences = np.asarray(differences, dtype=float)
    return stats.verdict(differences, interval(differences), p_value, higher)


def test_verdicts():
    noise = np.random.default_rng(0).standard_normal(50)
    assert judge(np.zeros(50)) == "identical"
    assert judge(noise - noise.mean()) == "not distinguishable"
    assert judge(noise * 0.1 - 1) == "worse"
    assert judge(noise * 0.1 + 1) == "better"
    assert judge(noise * 0.1 - 1, higher=False) == "better"
    assert judge(noise * 0.1 + 1, higher=False) == "worse"


def test_too_few_examples_for_a_verdict():
    assert judge([-1.0] * 5) == "not distinguishable"
    assert judge([-1.0] * 6) == "worse"


def test_right_or_wrong_needs_mcnemar_too():
    losses = [-1.0] * 5 + [0.0] * 95
    assert interval(losses).high < 0
    assert judge(losses, p_value=0.0625) == "not distinguishable"
    assert judge(losses, p_value=0.03) == "worse"


@pytest.mark.parametrize(
    ("ends", "batches", "expected"),
    [
        ((1.1, 1.3), 5, "faster"),
        ((0.5, 0.9), 5, "slower"),
        ((0.9, 1.3), 5, "not distinguishable"),
        ((1.2, 1.2), 1, "not distinguishable"),
    ],
)
def test_speed_in_words(ends, batches, expected):
    assert stats.speed(Interval(1.2, *ends), batches) == expected


def test_weighted_means_are_ratios_of_sums_in_every_resample():
    rng = np.random.default_rng(0)
    scores, weights = rng.random((2, 30)), rng.integers(0, 3, (2, 30)).astype(float)
    draws = stats.resampled_means(scores, 7, weights)
    parts = stats.resampled_means(scores * weights, 7)
    wholes = stats.resampled_means(weights, 7)
    assert np.allclose(draws, parts / wholes)
    assert np.allclose(stats.means(scores, weights), (scores * weights).sum(1) / weights.sum(1))
    assert np.array_equal(stats.resampled_means(scores, 7, np.zeros((2, 30)))[0], np.ones(2000))
    assert np.allclose(
        stats.resampled_means(scores, 7, np.ones((2, 30))), stats.resampled_means(scores, 7)
    )
