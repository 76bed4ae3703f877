"""Ranking measures against trec_eval, and by hand."""

from __future__ import annotations

import math
import random

import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops import ranking
from tokenry.ops.ranking import (
    average_precision,
    ndcg,
    order,
    overlap,
    precision,
    recall,
    reciprocal_rank,
)

MEASURES = {"ndcg_cut.5,10", "ndcg", "recip_rank", "recall.5,10", "map", "map_cut.5", "P.5,10"}


def collection(seed, ties):
    """Random labels and scores over thirty documents, some unlabelled, some not found."""
    draw = random.Random(seed)
    names = [f"d{i:02}" for i in range(30)]
    labels = {name: draw.choice([0, 0, 1, 2, 3]) for name in draw.sample(names, 15)}
    scores = {n: float(draw.randrange(5)) if ties else draw.random() for n in names[:24]}
    return labels, scores


@pytest.mark.parametrize("ties", [False, True])
def test_equals_trec_eval(ties):
    found = {f"q{seed}": collection(seed, ties) for seed in range(20)}
    judge = pytrec_eval.RelevanceEvaluator(
        {q: labels for q, (labels, _) in found.items()}, MEASURES
    )
    theirs = judge.evaluate({q: scores for q, (_, scores) in found.items()})
    for q, (labels, scores) in found.items():
        run = order(scores)
        ours = {
            "ndcg_cut_5": ndcg(run, labels, 5),
            "ndcg_cut_10": ndcg(run, labels, 10),
            "ndcg": ndcg(run, labels, None),
            "recip_rank": reciprocal_rank(run, labels),
            "recall_5": recall(run, labels, 5),
            "recall_10": recall(run, labels, 10),
            "map": average_precision(run, labels),
            "map_cut_5": average_precision(run, labels, 5),
            "P_5": precision(run, labels, 5),
            "P_10": precision(run, labels, 10),
        }
        assert ours == pytest.approx({name: theirs[q][name] for name in ours}, abs=1e-6)


def test_gains_by_hand():
    labels = {"a": 3, "b": 1, "c": 2}
    run = ["b", "x", "a"]
    linear = (1 + 3 / 2) / (3 + 2 / math.log2(3) + 1 / 2)
    exponential = (1 + 7 / 2) / (7 + 3 / math.log2(3) + 1 / 2)
    assert ndcg(run, labels) == pytest.approx(linear)
    assert ndcg(run, labels, gain="exponential") == pytest.approx(exponential)
    assert ndcg(["a", "c", "b"], labels, gain="exponential") == pytest.approx(1)


def test_labels_may_be_shares_and_below_zero():
    assert ndcg(["a", "b"], {"a": 0.25, "b": 0.75}) == pytest.approx(
        (0.25 + 0.75 / math.log2(3)) / (0.75 + 0.25 / math.log2(3))
    )
    assert ndcg(["a", "b"], {"a": -2, "b": 1}) == pytest.approx(1 / math.log2(3))
    assert recall(["a"], {"a": -1, "b": 1}) == 0


def test_least_says_what_is_relevant():
    labels = {"a": 1, "b": 5, "c": 8}
    assert reciprocal_rank(["a", "b"], labels) == 1
    assert reciprocal_rank(["a", "b"], labels, least=5) == 0.5
    assert precision(["a", "b", "x"], labels, 3, least=5) == pytest.approx(1 / 3)
    assert average_precision(["a", "b"], labels, least=5) == 0.25


def test_nothing_relevant_and_nothing_found():
    for measure in (ndcg, reciprocal_rank, recall, average_precision):
        assert measure(["a"], {}) == 0
        assert measure([], {"a": 1}) == 0
    assert precision([], {"a": 1}, 5) == 0


def test_overlap_of_short_rankings():
    assert overlap(["a"], ["a"], 10) == 1
    assert overlap([], ["a"], 10) == 0
    assert overlap([], [], 10) == 1
    assert overlap(["a"], [], 10) == 0


@given(
    st.permutations(list("abcdefgh")), st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 9))
)
def test_bounds_and_the_ideal_order(run, labels):
    assert 0 <= ndcg(run, labels) <= 1 + 1e-9
    if any(ranking.relevant(labels)):
        assert ndcg(order({n: labels.get(n, 0.0) for n in run}), labels) == pytest.approx(1)


@given(st.permutations(list("abcdef")))
def test_equal_scores_come_in_one_order_only(names):
    scores = dict.fromkeys(names, 1.0)
    assert order(scores) == list("fedcba")


def test_wrong_use():
    with pytest.raises(UsageError, match="'a' is found twice"):
        ndcg(["a", "b", "a"], {"a": 1})
    with pytest.raises(UsageError, match="k=0 is not a whole number"):
        recall(["a"], {"a": 1}, 0)
    with pytest.raises(UsageError, match="allowed: 'linear' or 'exponential'"):
        ndcg(["a"], {"a": 1}, gain="square")
    with pytest.raises(UsageError, match="NaN"):
        order({"a": math.nan})
