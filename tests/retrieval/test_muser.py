"""MUSER: cosines by hand, what does not matter, and what labels add to a ranker of texts."""

from __future__ import annotations

import json
import math
import random

import pytest

from tokenry.errors import UsageError
from tokenry.retrieval import Muser

A = [[("f", "x"), ("f", "y")], [("s",)]]
B = [[("f", "x"), ("g", "z")], [("t",)]]
NONE = [[], []]


def test_scores_are_cosines_weighted_by_levels_and_views():
    # Facts: two labels at the first level, three at the second; statutes: two.
    first, second = 1 / math.sqrt(2), 1 / 2
    facts = (2 * first + 3 * second) / 5
    found = Muser(weights=(0.6, 0.4)).score([A], [A, B, NONE])
    assert found[0].tolist() == pytest.approx([1, 0.6 * facts, 0])


def test_order_and_repetition_of_labels_do_not_matter():
    twice = [[*A[0][::-1], *A[0]], A[1] * 3]
    score = Muser(weights=(1.0, 1.0)).score
    assert score([twice], [A, B]).tolist() == score([A], [A, B]).tolist()


def test_any_number_of_views_and_levels():
    deep = [[("a", "b", "c", "d")]]
    assert Muser(weights=(3.0,)).score([deep], [deep, [[("a",)]], [[]]])[0].tolist() == (
        pytest.approx([1, 1 / 4, 0])
    )
    assert Muser(weights=(1.0,)).score([[[]]], [[[]]]).tolist() == [[0]]


def test_views_and_weights_must_agree():
    with pytest.raises(UsageError, match="record 1 has 1 views, and there are 2 weights"):
        Muser(weights=(1.0, 1.0)).score([A], [[[("f",)]]])
    with pytest.raises(UsageError, match="weighs no view"):
        Muser(weights=(0.0,))


@pytest.mark.slow
def test_claim_a_view_of_labels_helps_bm25(recipe):
    study = recipe("muser_study")
    found = study.emoji()
    for ranker in ("labels", "bm25 + labels"):
        for text in ("bm25", "likelihood"):
            mean, half = study.gain(found[ranker], found[text])
            assert mean > half


def test_published_runs_are_measured_as_the_released_script_does(recipe, tmp_path):
    """Its arithmetic, in a loop, on a made-up folder of the same form."""
    draw, study = random.Random(0), recipe("muser_study")
    names = [str(n) for n in range(60)]
    labels = {q: {n: draw.randrange(9) for n in draw.sample(names, 30)} for q in "abc"}
    runs = {one: {q: draw.sample(names, 40) for q in "abc"} for one in study.RUNS}
    files = {"labels/top30_dict": labels, "cases/train_test": {"train": ["c"], "test": ["a", "b"]}}
    files |= {f"predictions/{one}_top100": run for one, run in runs.items()}
    for name, content in files.items():
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    found = study.published(tmp_path)
    for one, run in runs.items():
        gains = shares = precisions = 0.0
        for q in "ab":
            grades = [labels[q].get(name, 0) for name in run[q]]
            ideal = sorted(labels[q].values(), reverse=True)
            dcg, best = (
                sum(some[i] / math.log2(i + 2) for i in range(10)) for some in (grades, ideal)
            )
            gains += dcg / best / 2
            shares += sum(grade >= 5 for grade in grades[:5]) / 5 / 2
            right = [labels[q][name] >= 5 for name in run[q] if name in labels[q]]
            places = [i for i, is_right in enumerate(right) if is_right]
            precisions += sum(sum(right[: i + 1]) / (i + 1) for i in places) / len(places) / 2
        assert found[one]["NDCG@10"] == pytest.approx(gains)
        assert found[one]["P@5"] == pytest.approx(shares)
        assert found[one]["MAP of labelled"] == pytest.approx(precisions)
        assert found[one]["MAP"] < found[one]["MAP of labelled"]


def test_likelihood_is_that_of_a_loop(recipe):
    texts, asked = ["a b b", "c a", "d"], ["b a x"]
    found = recipe("muser_study").likelihood(texts, asked, 0.1)
    by_hand = [
        math.log(0.9 * b + 0.1 * 2 / 6) + math.log(0.9 * a + 0.1 * 2 / 6)
        for b, a in ((2 / 3, 1 / 3), (0, 1 / 2), (0, 0))
    ]
    assert found[0].tolist() == pytest.approx(by_hand)
