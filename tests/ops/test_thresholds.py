"""The best cut against trying all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenry.ops.thresholds import best_cut


def f1_at(threshold, scores, labels):
    taken = [s >= threshold for s in scores]  # NaN is never
    hits = sum(t and y for t, y in zip(taken, labels, strict=True))
    return 2 * hits / max(1, sum(taken) + sum(labels))


@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9, float("nan")]), st.booleans()), max_size=8
    )
)
def test_no_other_cut_is_better(pairs):
    scores, labels = [s for s, _ in pairs], [y for _, y in pairs]
    found = best_cut(np.array(scores, dtype=float), np.array(labels, dtype=bool))
    others = [f1_at(t, scores, labels) for t in (0.05, 0.15, 0.3, 0.7, 0.95)]
    assert found.f1 == pytest.approx(max(others))
    assert f1_at(found.threshold, scores, labels) == pytest.approx(found.f1)
