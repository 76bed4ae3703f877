"""TF-IDF of runs of characters against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from tokenry.errors import UsageError
from tokenry.ops import grams
from tokenry.ops.grams import spelled, tfidf

LEFT = ["arnie mortons", "arts deli", "x", "東京 ラーメン", "👩‍🍳 kitchen", "aaaa"]
RIGHT = ["arnie mortons", "art's deli", "zürich"]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_weights_are_those_of_scikit_learn(n):
    padded = [[f" {text} " for text in side] for side in (LEFT, RIGHT)]
    theirs = TfidfVectorizer(
        analyzer="char", ngram_range=(n, n), lowercase=False, preprocessor=lambda text: text
    ).fit(padded[0] + padded[1])
    found = tfidf(LEFT, RIGHT, n)
    assert spelled(found.codes, n) == theirs.get_feature_names_out().tolist()
    for ours, side in zip(found[:2], padded, strict=True):
        np.testing.assert_allclose(ours.toarray(), theirs.transform(side).toarray(), atol=1e-12)


def test_a_list_with_itself_counts_once():
    found = tfidf(LEFT, LEFT)
    assert found.left is found.right
    np.testing.assert_allclose(found.left.toarray(), tfidf(LEFT, []).left.toarray())
    assert not np.allclose(found.left.toarray(), tfidf(LEFT, list(LEFT)).left.toarray())


def test_steps_do_not_show(monkeypatch):
    whole = tfidf(LEFT, RIGHT)
    monkeypatch.setattr(grams, "_STEP", 2)
    parts = tfidf(LEFT, RIGHT)
    for some, other in zip(whole[:2], parts[:2], strict=True):
        assert np.array_equal(some.toarray(), other.toarray())


def test_nothing_has_no_grams():
    found = tfidf([], [])
    assert found.left.shape == (0, 0)
    assert tfidf([], RIGHT).right.shape[0] == 3


def test_runs_of_four_are_refused():
    with pytest.raises(UsageError, match=r"n=4 is outside \[1, 3\]"):
        tfidf(LEFT, RIGHT, 4)
