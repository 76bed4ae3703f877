"""Binding precedents: citations hidden, thresholds, trends, and what leaks where they are not."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from tokenry.errors import UsageError
from tokenry.ops import word_lstm
from tokenry.retrieval import BindingPrecedent

ON = ["the court frees the prisoner from handcuffs", "handcuffs need a reason in writing"] * 8
OFF = ["a public tender for road works", "the pension of a teacher was lowered"] * 12
TEXTS, LABELS = ON + OFF, [True] * len(ON) + [False] * len(OFF)


def letters(texts):
    counts = np.array([[1.0 + text.count(c) for c in "handcufsto"] for text in texts])
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


@pytest.mark.parametrize("by", ["tfidf", "lstm", "encoder", "regex"])
def test_every_finder_learns_a_plain_theme(by):
    method = BindingPrecedent(by=by, rules=(r"handcuff",), epochs=12, width=8)
    finder = method.learn(TEXTS, LABELS, letters)
    assert finder.find(TEXTS).tolist() == LABELS
    assert finder.find(
        ["handcuffs for the prisoner need a reason", "a tender for road works"]
    ).tolist() == [
        True,
        False,
    ]


@pytest.mark.parametrize("by", ["tfidf", "lstm", "encoder"])
def test_a_hidden_citation_is_never_read(by):
    method = BindingPrecedent(by=by, citation=r"precedent\s+11", epochs=2, width=8)
    cited = [f"{text} Precedent 11" if on else text for text, on in zip(TEXTS, LABELS, strict=True)]
    same = [f"{text}  " if on else text for text, on in zip(TEXTS, LABELS, strict=True)]
    with_it, without = (method.learn(t, LABELS, letters).score(TEXTS) for t in (cited, same))
    np.testing.assert_allclose(with_it, without, atol=0.05)


def test_a_long_text_counts_as_its_best_window():
    method = BindingPrecedent(by="encoder", window=6)
    finder = method.learn(TEXTS, LABELS, letters)
    long = f"{OFF[0]} {ON[0]} {OFF[1]}"
    owners, vectors = method._windows([long, "", ON[0]], letters)
    assert owners.tolist() == [0, 0, 0, 0, 1, 2, 2]
    assert len(vectors) == 7
    assert finder.score([long])[0] == pytest.approx(
        max(finder.score([part])[0] for part in re.findall(r"(?:\S+ ?){1,6}", long))
    )


def test_an_lstm_reads_head_and_tail_and_no_padding():
    known = word_lstm.known_words(["a b c d e"], 9)
    assert word_lstm.numbered(["a b c d e"], known, 4).tolist() == [[2, 3, 5, 6]]
    torch.manual_seed(0)
    model = word_lstm.WordLstm(9, 4).eval()
    short, padded = torch.tensor([[2, 3]]), torch.tensor([[2, 3, 0, 0], [2, 3, 4, 5]])
    assert model(padded).shape == (2,)
    states = model.lstm(model.rows(short))[0]
    assert states.abs().max() <= 1  # so that -1 for padding never is the maximum alone


@pytest.mark.parametrize(
    ("settings", "labels", "said"),
    [
        ({}, [False] * len(TEXTS), "0 of 40 texts are on the theme"),
        ({}, [True] * len(TEXTS), "40 of 40 texts are on the theme"),
        ({"by": "encoder"}, LABELS, "needs vectors"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(settings, labels, said):
    with pytest.raises(UsageError, match=said):
        BindingPrecedent(**settings).learn(TEXTS, labels)


def test_rules_are_checked():
    with pytest.raises(UsageError, match="is no pattern"):
        BindingPrecedent(rules=("(",))
    with pytest.raises(UsageError, match="has no rules"):
        BindingPrecedent(by="regex").learn(TEXTS, LABELS).find(TEXTS)


def test_a_trend_has_counts_and_a_change():
    days = np.arange(40)
    periods, moved = BindingPrecedent().trend(days, np.array(LABELS), 16, length=20)
    assert periods.tolist() == [[0, 20, 16], [20, 20, 0]]
    assert (moved.before, moved.after) == (1, 0)


THEMES = {
    "works-with::audio": (r"\baudio\b", (r"\bmusic\b", r"\bmp3\b", r"\bsound\b")),
    "works-with::mail": (r"\be?-?mails?\b", (r"\bimap\b", r"\bsmtp\b", r"\bspam\b")),
}


def study(packages, theme, by, *, leak=False, seed=0):
    """Learn from packages that name a theme; test on others that do not, whose facets are known.

    Returns the average precision, precision and recall on what does not name it, and the average
    precision with which held-out packages that do are found among the others.
    """
    from sklearn.metrics import average_precision_score, precision_score, recall_score

    citation, rules = THEMES[theme]
    known = [one for one in packages if len(one.text.split()) >= 4]
    cites = np.array([bool(re.search(citation, one.text, re.IGNORECASE)) for one in known])
    true = np.array([theme in one.tags for one in known])
    draw = np.random.default_rng(seed)
    citing = draw.permutation(np.flatnonzero(cites & true))
    silent = draw.permutation(np.flatnonzero(~cites))
    half = len(citing) // 2
    seen = np.r_[citing[:half], silent[:1500]]
    labels = [True] * half + [False] * 1500
    method = BindingPrecedent(by=by, citation="" if leak else citation, rules=rules)
    finder = method.learn([known[at].text for at in seen], labels)
    rest = silent[1500:5500]
    scores = finder.score([known[at].text for at in rest])
    held = finder.score([known[at].text for at in citing[half:]])
    found = scores >= finder.threshold
    return {
        "average precision": average_precision_score(true[rest], scores),
        "precision": precision_score(true[rest], found, zero_division=0),
        "recall": recall_score(true[rest], found),
        "held-out citing": average_precision_score(
            np.r_[np.ones(len(held)), np.zeros(len(scores))], np.r_[held, scores]
        ),
    }


@pytest.mark.slow
def test_claim_tfidf_is_no_worse_than_an_lstm(packages):
    tfidf, lstm = (study(packages, "works-with::audio", by) for by in ("tfidf", "lstm"))
    assert tfidf["average precision"] > lstm["average precision"]
    assert tfidf["held-out citing"] > lstm["held-out citing"]


@pytest.mark.slow
@pytest.mark.parametrize("theme", THEMES)
def test_claim_rules_are_precise_and_miss_much(packages, theme):
    rules, learned = (study(packages, theme, by) for by in ("regex", "tfidf"))
    assert rules["precision"] > 2 * learned["precision"]
    assert rules["recall"] < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("theme", THEMES)
def test_claim_a_citation_that_stays_in_leaks(packages, theme):
    hidden, leaking = (study(packages, theme, "tfidf", leak=leak) for leak in (False, True))
    assert leaking["held-out citing"] > 0.99 > hidden["held-out citing"] + 0.3
    assert leaking["recall"] < hidden["recall"]
