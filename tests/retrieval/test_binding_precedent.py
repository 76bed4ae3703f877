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


def counting(texts, on_theme):
    """Trains a classifier on single letters: how far a text is on the side of the theme."""
    vectors, on = letters(texts), np.array(on_theme)
    side = vectors[on].mean(0) - vectors[~on].mean(0)
    return lambda new: letters(new) @ side


@pytest.mark.parametrize("by", ["tfidf", "lstm", "encoder", "classifier", "regex"])
def test_every_finder_learns_a_plain_theme(by):
    method = BindingPrecedent(by=by, rules=(r"handcuff",), epochs=12, width=8)
    finder = method.learn(TEXTS, LABELS, letters, counting)
    assert finder.find(TEXTS).tolist() == LABELS
    assert finder.find(
        ["handcuffs for the prisoner need a reason", "a tender for road works"]
    ).tolist() == [
        True,
        False,
    ]


@pytest.mark.parametrize("by", ["tfidf", "lstm", "encoder", "classifier"])
def test_a_hidden_citation_is_never_read(by):
    method = BindingPrecedent(by=by, citation=r"precedent\s+11", epochs=2, width=8)
    cited = [f"{text} Precedent 11" if on else text for text, on in zip(TEXTS, LABELS, strict=True)]
    same = [f"{text}  " if on else text for text, on in zip(TEXTS, LABELS, strict=True)]
    with_it, without = (
        method.learn(t, LABELS, letters, counting).score(TEXTS) for t in (cited, same)
    )
    np.testing.assert_allclose(with_it, without, atol=0.05)


@pytest.mark.parametrize("by", ["encoder", "classifier"])
def test_a_long_text_counts_as_its_best_window(by):
    finder = BindingPrecedent(by=by, window=6).learn(TEXTS, LABELS, letters, counting)
    long = f"{OFF[0]} {ON[0]} {OFF[1]}"
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


THEMES = ("image", "database", "server")


@pytest.fixture(scope="module")
def found(recipe):
    """Figures of a ranker on a theme of the manual pages that ship, and all that was found."""
    precedents = recipe("precedent_study")
    texts = precedents.paragraphs()

    def of(name, by, *, leak=False):
        theme = precedents.THEMES[name]
        parts = precedents.split(texts, theme)
        return parts, precedents.study(parts, theme, by, leak=leak)

    return of


@pytest.mark.slow
def test_claim_tfidf_is_no_worse_than_an_lstm(found, recipe):
    (parts, tfidf), (_, lstm) = (found("database", by) for by in ("tfidf", "lstm"))
    assert tfidf.figures["held-out citing"] > lstm.figures["held-out citing"]
    precedents = recipe("precedent_study")
    assert precedents.interval(parts.true, tfidf.scores, lstm.scores)[1] > 0
    for first, second in ((tfidf, lstm), (lstm, tfidf)):
        assert precedents.disagreement(parts, first, second)  # each finds what the other misses


@pytest.mark.slow
@pytest.mark.parametrize("theme", THEMES)
def test_claim_rules_miss_most(found, theme):
    _, rules = found(theme, "regex")
    assert rules.figures["recall"] < 0.5 < rules.figures["precision"]


@pytest.mark.slow
@pytest.mark.parametrize("theme", THEMES)
def test_claim_a_citation_that_stays_in_leaks(found, theme):
    (_, hidden), (_, leaking) = (found(theme, "tfidf", leak=leak) for leak in (False, True))
    assert leaking.figures["held-out citing"] > hidden.figures["held-out citing"] + 0.2
    assert leaking.figures["recall"] < hidden.figures["recall"]


RELEASE = """What's New in Python {name}?
====

*Release date: {day}*

IDLE
----

- bpo-1: The shell of IDLE {idle}
  twice over.

Library
-------

- gh-issue-2: {other}
"""


def test_news_are_read_from_the_oldest_on(recipe):
    parts = (("2", "2020-01-02", "late"), ("1", "2019-12-31", "early"))
    found = recipe("precedent_time").entries(
        "News\n\n" + "\n".join(RELEASE.format(name=n, day=d, idle=w, other=w) for n, d, w in parts)
    )
    assert [(one.text, one.section) for one in found] == [
        ("The shell of IDLE early twice over.", "IDLE"),
        ("early", "Library"),
        ("The shell of IDLE late twice over.", "IDLE"),
        ("late", "Library"),
    ]
    assert [one.day - found[0].day for one in found] == [0, 0, 2, 2]


@pytest.mark.parametrize("drift", [False, True])
def test_time_costs_where_the_talk_of_a_theme_changed(recipe, drift):
    news, draw = recipe("precedent_time"), np.random.default_rng(0)
    words = {"Library": ["queue", "socket", "parser", "codec", "lock", "cache"]}
    words["early"], words["late"] = ["tkinter", "editor"], ["syntax", "palette"]
    words["late"] = words["late"] if drift else words["early"]
    every = [
        news.Entry(
            " ".join(draw.choice(words["Library"] + words[half] * (section == "IDLE"), 5))
            + " IDLE" * (section == "IDLE" and number % 2 == 0),
            day,
            section,
        )
        for day, half in enumerate(("early", "late"))
        for number in range(120)
        for section in ("IDLE", "Library", "Library")
    ]
    found = news.study(every, "IDLE", "tfidf")
    assert (found["drop"][1] < 0) is drift
    (_, seen), (_, true) = (found["counts"][name] for name in ("found", "true"))
    assert (seen.before, true.before) > (0, 0)
