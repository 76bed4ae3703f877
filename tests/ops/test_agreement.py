"""Precision, recall and F1 against scikit-learn, at every edge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from tokenry.ops.agreement import agreement, harmonic, ratios, share
from tokenry.ops.verdict_counts import label_scores

VERDICTS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=9)


def counts(verdicts):
    found, true = np.array(verdicts, dtype=bool).T
    return int((found & true).sum()), int(found.sum()), int(true.sum())


@settings(deadline=None, max_examples=80)
@given(VERDICTS)
def test_the_figures_are_those_of_scikit_learn(verdicts):
    found, true = np.array(verdicts, dtype=int).T
    theirs = precision_recall_fscore_support(true, found, average="binary", zero_division=1.0)
    assert agreement(*counts(verdicts)) == pytest.approx(theirs[:3])


@settings(deadline=None, max_examples=40)
@given(st.lists(VERDICTS, min_size=1, max_size=4))
def test_rows_are_what_each_is_alone(rows):
    table = np.array([counts(one) for one in rows])
    assert ratios(table).tolist() == [list(agreement(*row)) for row in table.tolist()]
    precision, recall, f1 = ratios(table).T
    assert f1 == pytest.approx(harmonic(precision, recall))


@pytest.mark.parametrize(
    ("right", "found", "wanted", "figures"),
    [
        (0, 0, 0, (1, 1, 1)),
        (0, 0, 3, (1, 0, 0)),
        (0, 3, 0, (0, 1, 0)),
        (0, 3, 3, (0, 0, 0)),
        (3, 3, 3, (1, 1, 1)),
    ],
)
def test_a_share_of_nothing_is_one(right, found, wanted, figures):
    assert agreement(right, found, wanted) == figures


def test_a_label_that_nobody_has_and_nobody_gave_is_not_missed():
    none = np.zeros(3, dtype=int)
    assert label_scores(none, none, yes=1) == {"accuracy": 1, "F1": 1}


def test_what_is_unknown_stays_unknown():
    found = share(np.array([np.nan, 1.0, np.nan]), np.array([2.0, np.nan, 0.0]))
    assert np.isnan(found[:2]).all()
    assert found[2] == 1.0
