"""What the papers on smaller indexes claim, on manual pages with a real encoder."""

from __future__ import annotations

import numpy as np
import pytest

from tokenry import zoo
from tokenry.compare.library import Library
from tokenry.compare.shelves import shelf
from tokenry.compare.stats import mean_interval, resampled_means
from tokenry.data import load_collection
from tokenry.ops.ranking import ndcg
from tokenry.plugs.token_encoder import TokenEncoder
from tokenry.retrieval import RandomTokens, TokenPooling, TokenPruning

pytestmark = pytest.mark.slow
LENGTH = 256


@pytest.fixture(scope="module")
def scores():
    """nDCG@10 of each query under a reducer, and under none."""
    if not zoo.find("minilm-l6").installed:
        pytest.skip("the package with zoo:minilm-l6 is not installed")
    data = load_collection("manpages")
    library = Library(TokenEncoder.load("zoo:minilm-l6"), data.documents, LENGTH)
    questions = [library.question(query.text, True) for query in data]

    def measure(method):
        place = shelf(library, method)
        ranked = [place.rank(question, 10).keys.tolist() for question in questions]
        names = [[library.ids[key - 1] for key in keys] for keys in ranked]
        return np.array([ndcg(n, q.relevance) for n, q in zip(names, data, strict=True)])

    return measure


def difference(scores, method):
    """The paired difference from all token vectors, with its interval."""
    apart = scores(method) - scores(None)
    return mean_interval(apart, resampled_means(apart[None], 0)[0])


def test_half_the_tokens_pooled_lose_nothing(scores):
    half = difference(scores, TokenPooling(keep=0.5))
    assert half.value > -0.005
    assert half.low > -0.02


def test_a_quarter_pooled_keeps_95_percent_and_beats_dropping(scores):
    whole, pooled = scores(None).mean(), scores(TokenPooling(keep=0.25)).mean()
    assert pooled > 0.95 * whole
    for method in (TokenPruning(keep=0.25), RandomTokens(keep=0.25)):
        assert pooled > scores(method).mean()


def test_dropping_thirty_percent_costs_little(scores):
    for by in ("first", "rare"):
        assert abs(difference(scores, TokenPruning(by=by, keep=0.7)).value) < 0.03
