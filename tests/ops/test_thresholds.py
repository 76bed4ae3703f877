"""The curve over thresholds, against counting at each of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops.thresholds import best_threshold, threshold_curve

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


def test_the_threshold_is_the_best_of_all():
    draw = np.random.default_rng(1)
    scores = draw.integers(0, 8, 60) / 8
    same = draw.random(60) < scores
    threshold, f1 = best_threshold(scores, same, missed=3)

    def f1_at(t):
        found = scores >= t
        return 2 * (found & same).sum() / (found.sum() + same.sum() + 3)

    assert f1 == pytest.approx(f1_at(threshold))
    assert f1 == pytest.approx(max(f1_at(t) for t in np.unique(scores)))
    unscored = np.append(scores, np.nan), np.append(same, True)
    assert best_threshold(*unscored, missed=2) == (threshold, f1)
    for unknown in (scores, np.full(60, np.nan)):
        with pytest.raises(UsageError, match="none of the labelled pairs"):
            best_threshold(unknown, same & np.isnan(unknown))
