"""Blended scores by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tokenry.errors import UsageError
from tokenry.ops.blending import blended, on_one_scale


def test_rankers_are_summed_on_one_scale():
    a, b = np.array([[1.0, 3.0, 2.0]]), np.array([[30.0, 10.0, 10.0]])
    assert blended([a, b], [1, 0.25]).tolist() == [[0.25, 1.0, 0.5]]


def test_a_ranker_that_tells_nothing_adds_nothing():
    assert on_one_scale(np.full((2, 3), 7.0)).tolist() == np.zeros((2, 3)).tolist()


@pytest.mark.parametrize(("scores", "weights"), [([np.zeros((1, 1))], [1, 2]), ([], [])])
def test_each_ranker_needs_a_weight(scores, weights):
    with pytest.raises(UsageError, match="give one for each"):
        blended(scores, weights)
