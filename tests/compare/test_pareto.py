"""The front against a loop over all pairs, and what noise may not do."""

from __future__ import annotations

import numpy as np
import pytest

from tokenry.compare.pareto import front


def plain_front(scores, seconds):
    """The front of exact figures, by definition."""
    kept = []
    for s, t in zip(scores, seconds, strict=True):
        others = zip(scores, seconds, strict=True)
        kept.append(not any(a >= s and b <= t and (a > s or b < t) for a, b in others))
    return kept


def exact(figures, count):
    """Figures without noise: the same in every column."""
    return np.repeat(np.asarray(figures, dtype=float)[:, None], count, axis=1)


@pytest.mark.parametrize("seed", range(20))
def test_without_noise_it_is_the_plain_front(seed):
    rng = np.random.default_rng(seed)
    scores, seconds = rng.integers(0, 6, 12) / 6, rng.integers(1, 7, 12) / 10
    found = front(exact(scores, 20), np.log(exact(seconds, 5)), seed=0)
    assert found.tolist() == plain_front(scores, seconds)


def test_noise_dominates_nobody():
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((4, 30))
    logs = rng.standard_normal((4, 8))
    assert front(scores, logs, seed=0).all()


def test_paired_noise_is_no_excuse():
    rng = np.random.default_rng(0)
    hard, drift = rng.standard_normal(50) * 10, rng.standard_normal(10)
    scores = np.stack([hard, hard - 0.1 + rng.standard_normal(50) * 0.01])
    logs = np.stack([drift, drift + 0.2 + rng.standard_normal(10) * 0.01])
    assert front(scores, logs, seed=0).tolist() == [True, False]


def test_equal_scores_leave_the_faster_one():
    scores = np.repeat(np.random.default_rng(0).random((1, 40)), 3, axis=0)
    logs = np.log(exact([1.0, 2.0, 2.0], 6))
    assert front(scores, logs, seed=0).tolist() == [True, False, False]


@pytest.mark.parametrize(("examples", "batches"), [(5, 6), (40, 1)])
def test_too_little_to_grey_anything_out(examples, batches):
    assert front(exact([1, 0], examples), np.log(exact([1, 2], batches)), seed=0).all()


def test_the_best_means_are_always_on_it():
    rng = np.random.default_rng(3)
    scores, logs = rng.standard_normal((15, 12)), rng.standard_normal((15, 7))
    found = front(scores, logs, seed=0)
    assert found[scores.mean(1).argmax()]
    assert found[logs.mean(1).argmin()]
