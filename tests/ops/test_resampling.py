"""Intervals of figures that are made of sums."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tokenry.ops import resampling as ops


def test_totals_are_sums_of_as_many_drawn_examples():
    parts = np.stack((np.ones(30), np.arange(30.0)), 1)
    found = ops.resampled_totals(parts, 0)
    assert found.shape == (ops.RESAMPLES, 2)
    assert (found[:, 0] == 30).all()
    assert (found == ops.resampled_totals(parts, 0)).all()
    assert found[:, 1].mean() == pytest.approx(parts[:, 1].sum(), rel=0.02)


def test_many_examples_are_drawn_in_blocks(monkeypatch):
    monkeypatch.setattr(ops, "BLOCK", 7)
    found = ops.resampled_totals(np.ones((3, 1)), 0)
    assert found.tolist() == [[3.0]] * ops.RESAMPLES


def test_the_interval_of_a_mean_is_that_of_student():
    rng = np.random.default_rng(0)
    values = rng.normal(5, 2, 200)
    parts = np.stack((values, np.ones(200)), 1)
    (found,) = ops.intervals_of_totals(parts, lambda sums: sums[:, :1] / sums[:, 1:], 1)
    half = stats.t.ppf(0.975, 199) * values.std(ddof=1) / np.sqrt(200)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.value == pytest.approx(half, rel=0.15)
    assert found.value - found.low == pytest.approx(half, rel=0.15)


def test_one_example_has_no_interval():
    (found,) = ops.intervals_of_totals(np.ones((1, 1)), lambda sums: sums, 0)
    assert found == ops.Interval(1.0, 1.0, 1.0)
