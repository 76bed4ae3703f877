"""What `dedupe` does when it is told nothing but the columns."""

from __future__ import annotations

import numpy as np
import pytest

import tokenry
from tokenry.data import load_linked
from tokenry.errors import DataError, MissingExtraError, UsageError
from tokenry.ops.clusters import pair_agreement
from tokenry.ops.guards import guarded_components


def people(rows, seed=0):
    """Made-up people of few names and many birthdays, a fifth of them twice with a wrong letter."""
    rng = np.random.default_rng(seed)
    sounds = np.array([a + b for a in "bdfgklmnrst" for b in "aeio"])
    first, last = (["".join(rng.choice(sounds, 3)) for _ in range(n)] for n in (30, 60))
    table = []
    for _ in range(rows):
        born = rng.integers((1930, 1, 1), (2010, 13, 29)).astype(str)
        table.append([str(rng.choice(first)), str(rng.choice(last)), *born.tolist()])
    again = rng.choice(rows, rows // 5, replace=False)
    for row in again.tolist():
        copy = list(table[row])
        name = copy[place := int(rng.integers(2))]
        at = int(rng.integers(len(name)))
        copy[place] = name[:at] + "x" + name[at + 1 :]
        table.append(copy)
    names = ("first", "last", "year", "month", "day")
    columns = dict(zip(names, map(list, zip(*table, strict=True)), strict=True))
    return columns, np.concatenate((np.arange(rows), again))


def f1_of_best_threshold(table, on, entity, method):
    """What plain components come to at the threshold that is best for them, gold in hand."""
    scored = tokenry.dedupe(table, on, method=method, threshold=0.3).links
    pairs = np.stack((scored.rows("left"), scored.rows("right")), 1)
    return max(
        pair_agreement(
            guarded_components(pairs, scored.scores, len(entity), threshold=threshold), entity
        ).f1
        for threshold in np.arange(0.3, 1, 0.05)
    )


@pytest.mark.parametrize("method", ["char-ngrams", "fuzzy"])
def test_the_defaults_chain_less_and_lose_next_to_nothing(method):
    table, entity = people(600)
    plain = tokenry.dedupe(table, [*table], method=method, apart=0)
    found = tokenry.dedupe(table, [*table], method=method)
    before, after = (pair_agreement(one.labels, entity) for one in (plain, found))
    assert after.f1 > before.f1 + 0.1
    assert after.recall > before.recall - 0.02
    assert found.sizes.max() <= 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rldata500", "rldata10000"])
def test_german_names_are_not_one_cluster(name):
    try:
        data = load_linked(name)
    except (DataError, MissingExtraError) as error:
        pytest.skip(str(error))
    found = tokenry.dedupe(data.left, data.on, method="char-ngrams")
    exact = tokenry.dedupe(data.left, data.on, method="exact")
    f1, equal = (pair_agreement(one.labels, data.entity).f1 for one in (found, exact))
    assert f1 > equal
    plain = tokenry.dedupe(data.left, data.on, method="char-ngrams", apart=0)
    before = pair_agreement(plain.labels, data.entity).f1
    best = f1_of_best_threshold(data.left, data.on, data.entity, "char-ngrams")
    assert f1 - before > (best - before) / 2
    assert found.sizes.max() <= 10


def test_whoever_names_a_threshold_or_known_pairs_is_taken_at_their_word():
    # One letter, two and three apart in a row; the last is below the threshold.
    table = {"name": ["abcdefghij", "abcdefghix", "abcdefyyix", "abcdqqqyix"]}
    for settings in (
        {"method": "fuzzy", "threshold": 0.75},
        {"method": "fuzzy(threshold=0.75)"},
        {"method": "fuzzy", "threshold": 0.75, "apart": 0},
        {"method": "fuzzy", "known": {"left": [1, 2], "right": [2, 3], "label": [1, 0]}},
    ):
        assert tokenry.dedupe(table, "name", **settings).labels.tolist() == [0, 0, 0, 1]
    found = tokenry.dedupe(table, "name", method="fuzzy", threshold=0.75, apart=1.6)
    assert found.labels.tolist() == [0, 0, 1, 2]
    assert "1 of 2 links without effect" in str(found)
    assert len(found.shown(9)) == 1


def test_scores_without_an_upper_end_are_not_asked_to_stand_apart(odds):
    table = {"name": ["a b", "a b", "c d"]}
    found = tokenry.dedupe(table, "name", method=odds)
    assert found.labels.tolist() == [0, 0, 1]
    assert "not asked to stand apart" in found.notes[0]
    with pytest.raises(UsageError, match="there are scores up to 5"):
        tokenry.dedupe(table, "name", method=odds, apart=2)


def test_very_many_pairs_are_not_asked_to_stand_apart_and_that_is_said(monkeypatch):
    monkeypatch.setattr("tokenry.tables.deduping.MANY", 1)
    table = {"name": ["abcdefghij", "abcdefghix", "abcdefyyix", "abcdqqqyix"]}
    found = tokenry.dedupe(table, "name", method="char-ngrams")
    assert "More than 1 pairs" in found.notes[0]
