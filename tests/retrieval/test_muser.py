"""MUSER: cosines by hand, what does not matter, and what labels add to a ranker of texts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tokenry.errors import UsageError
from tokenry.ops.blending import blended
from tokenry.ops.ranking import ndcg
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


VIEWS = ("role", "use", "works-with")
WEIGHTS = (0.1, 0.5, 0.4)


def bm25(texts, asked):
    import bm25s

    split = {"stopwords": "en", "show_progress": False, "return_ids": False}
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, **split), show_progress=False)
    return np.stack([index.get_scores(one) for one in bm25s.tokenize(asked, **split)])


def predicted(train, pool, view):
    """Labels of one view, from a linear model over words that learned from people's labels."""
    import torch
    from sklearn.feature_extraction.text import TfidfVectorizer

    from tokenry.ops.multilabel import log_sum_exp_loss

    labels = sorted({label for one in train for label in one.facet(view)})
    truth = torch.tensor([[label in one.facet(view) for label in labels] for one in train])
    words = TfidfVectorizer(sublinear_tf=True, stop_words="english")
    seen = torch.tensor(words.fit_transform([one.text for one in train]).toarray()).float()
    new = torch.tensor(words.transform([one.text for one in pool]).toarray()).float()
    torch.manual_seed(0)
    model = torch.nn.Linear(seen.shape[1], len(labels))
    steps = torch.optim.Adam(model.parameters(), 1e-2, weight_decay=1e-5)
    for _ in range(100):
        steps.zero_grad()
        log_sum_exp_loss(model(seen), truth).mean().backward()
        steps.step()
    with torch.no_grad():
        found = (model(new) > 0).numpy()
    return [tuple(labels[at] for at in np.flatnonzero(row)) for row in found]


def scored(scores, gold):
    """nDCG@10 of each query, which itself is no answer; grades from 0 to 8, as in the paper."""
    found = []
    for query, (row, grades) in enumerate(zip(scores, np.round(8 * gold), strict=True)):
        ranking = [int(at) for at in np.argsort(-row, kind="stable") if at != query][:10]
        labels = {at: int(grade) for at, grade in enumerate(grades) if grade and at != query}
        found.append(ndcg(ranking, labels))
    return np.array(found)


def surely_better(a, b):
    gain = a - b
    return gain.mean() > 1.96 * gain.std(ddof=1) / math.sqrt(len(gain))


@pytest.mark.slow
def test_claim_a_view_of_labels_helps_bm25(packages):
    chosen = [one for one in packages if all(map(one.facet, VIEWS))]
    order = np.random.default_rng(0).permutation(len(chosen))
    train, pool = np.split(np.array(chosen, dtype=object)[order], 2)
    queries = pool[:150]
    text = bm25([one.text for one in pool], [one.text for one in queries])

    def by(views, weights):
        labels = [[one.facet(view) for view in views] for one in pool]
        return Muser(weights=weights).score(labels[: len(queries)], labels)

    # Two views judge, the third one helps.
    gold = by(("role", "use"), (1.0, 1.0))
    third = scored(blended([text, by(("works-with",), (1.0,))], (1, 0.5)), gold)
    assert surely_better(third, scored(text, gold))

    # Three views judge: words, words with labels that a model predicted, the labels themselves.
    gold = by(VIEWS, WEIGHTS)
    guessed = [*zip(*(predicted(train, pool, view) for view in VIEWS), strict=True)]
    noisy = Muser(weights=WEIGHTS).score(guessed[: len(queries)], guessed)
    words, both = scored(text, gold), scored(blended([text, noisy], (1, 1)), gold)
    true = scored(blended([text, gold], (1, 1)), gold)
    assert surely_better(both, words)
    assert surely_better(true, both)
