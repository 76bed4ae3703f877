"""The curve over thresholds, against counting at each of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.ops.near import best_threshold
from tokenry.ops.thresholds import threshold_curve

SCORED = st.lists(
    st.tuples(st.sampled_from([0.1, 0.2, 0.2, 0.5, 0.9, float("nan")]), st.booleans()), max_size=12
)


@settings(deadline=None, max_examples=80)
@given(SCORED, st.integers(0, 3))
def test_every_threshold_is_what_counting_gives(drawn, missed):
    scores = np.array([s for s, _ in drawn], float)
    same = np.array([t for _, t in drawn], bool)
    curve = threshold_curve(scores, same, missed)
    assert curve.threshold.tolist() == sorted({s for s, _ in drawn if s == s}, reverse=True)
    wanted = same.sum() + missed
    for at, threshold in enumerate(curve.threshold):
        found = scores >= threshold
        right = (found & same).sum()
        assert curve.found[at] == found.sum()
        assert curve.precision[at] == pytest.approx(right / found.sum())
        assert curve.recall[at] == pytest.approx(right / wanted if wanted else 1.0)
        assert curve.f1[at] == pytest.approx(2 * right / (found.sum() + wanted))
    real = ~np.isnan(scores)
    if (same & real).any():
        lost = int((same & ~real).sum()) + missed
        best = best_threshold(scores[real], same[real], lost)
        assert (curve.threshold[curve.best], curve.f1[curve.best]) == pytest.approx(best)
