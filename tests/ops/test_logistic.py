"""Logistic regression against scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tokenry.errors import UsageError
from tokenry.ops.logistic import logistic


def test_weights_are_those_of_scikit_learn():
    source = np.random.default_rng(0)
    features = source.normal(size=(200, 3)) * [1, 5, 0.1] + [0, 2, 1]
    yes = features @ [1, 0.2, 3] + source.normal(size=200) > 3.5
    found = logistic(features, yes, penalty=2.0)
    scaled = (features - features.mean(0)) / features.std(0)
    theirs = LogisticRegression(C=0.5, tol=1e-10, max_iter=1000).fit(scaled, yes)
    ours = found.base + found.shares(features).sum(1)
    np.testing.assert_allclose(ours, theirs.decision_function(scaled), atol=1e-5)


def test_what_tells_all_or_nothing_stays_finite():
    yes = np.array([False, True] * 20)
    found = logistic(np.column_stack([yes, np.ones(40)]).astype(float), yes)
    assert np.isfinite([found.base, *found.weights]).all()
    assert found.weights[1] == pytest.approx(0)


def test_what_is_not_known_adds_nothing():
    features = np.array([[0.0], [1], [np.nan], [0], [1]])
    found = logistic(features, np.array([False, True, True, False, True]))
    assert found.shares(features)[2] == 0
    assert found.means == 0.5


@pytest.mark.parametrize("yes", [[True, True], [False, False], []])
def test_labels_of_one_kind_are_refused(yes):
    with pytest.raises(UsageError, match="some of both kinds"):
        logistic(np.zeros((len(yes), 1)), np.array(yes, bool))
