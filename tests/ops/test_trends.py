"""Counts by period and changes, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import fisher_exact

from tokenry.errors import UsageError
from tokenry.ops.trends import by_period, change


def test_every_period_is_there_with_texts_and_finds():
    days = np.array([41, 44, 70, 41])
    found = np.array([True, False, True, True])
    assert by_period(days, found, 10).tolist() == [[40, 3, 2], [50, 0, 0], [60, 0, 0], [70, 1, 1]]
    assert by_period(days[:0], found[:0], 10).tolist() == []


def test_a_change_is_the_ratio_of_the_shares():
    days = np.repeat([1, 9], [40, 60])
    found = np.r_[np.arange(40) < 4, np.arange(60) < 30]
    got = change(days, found, 5)
    assert got[:3] == (0.1, 0.5, 5.0)
    assert got.p_value == pytest.approx(fisher_exact([[30, 30], [4, 36]]).pvalue)
    assert change(days, days > 5, 5).ratio == np.inf
    with pytest.raises(UsageError, match="one side of day 0"):
        change(days, found, 0)
