"""Comparing linkers on one table, and with blocking, against counting by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from tokenry.compare.blocked import blocked
from tokenry.compare.linked import CUT, LEARN, duplicated
from tokenry.compare.linkers import Meter, cosine, link
from tokenry.compare.linking_data import linking_data
from tokenry.compare.run import compare
from tokenry.compare.tasks import Linking
from tokenry.data.linked import LinkedData
from tokenry.errors import UsageError
from tokenry.ops.clusters import pair_agreement


@pytest.fixture(scope="module")
def encoder(text_encoder, linkers):
    return text_encoder(linkers.WORDS)


@pytest.fixture(scope="module")
def table(linkers):
    """80 records of 48 things in groups of one to three, with a word changed; a tenth is empty."""
    draw = np.random.default_rng(3)
    names, zips, things = [], [], []
    for thing in range(48):
        words = draw.choice(linkers.WORDS, 4).tolist()
        for copy in range(1 + thing % 2 * (1 + thing % 3 // 2)):
            again = [*words[:3], str(draw.choice(linkers.WORDS))] if copy else words
            names.append(None if len(names) % 10 == 7 else " ".join(again))
            zips.append(str(thing % 6))
            things.append(thing)
    return {"name": names, "zip": zips}, things


@pytest.fixture(scope="module")
def data(table, linkers):
    return duplicated(table[0], ["name"], table[1], **linkers.ABOUT)


def meter():
    return Meter(lambda texts: np.ones((len(texts), 2), np.float32) / np.sqrt(2))


def test_a_thing_is_in_one_part_with_all_its_records(data, table):
    part = {one.left: name for name, one in data.fit} | {one.left: "" for one in data.examples}
    assert sorted(part) == list(range(len(table[1])))
    assert {LEARN, CUT, ""} == set(part.values())
    for first, second in combinations(range(len(table[1])), 2):
        if table[1][first] == table[1][second]:
            assert part[first] == part[second]


def test_scores_of_one_table_are_those_of_its_pairs(encoder, data, linkers, table):
    task = Linking(candidates=80)
    results = compare(encoder, [linkers.Overlap()], data, task=task, progress=False)
    rows = {row.example: row for row in results.rows() if row.method == "overlap"}
    threshold = next(iter(rows.values())).scores["threshold"]
    matcher = linkers.Overlap().prepare(data.left, data.left, None)
    every = range(data.left.count)
    score = np.array([np.nan_to_num(matcher.score([a] * len(every), every)) for a in every])
    np.fill_diagonal(score, 0)
    things = np.array(table[1])
    for one in data.examples:
        found = np.flatnonzero(score[one.left] >= threshold)
        found_of = rows[one.id].scores
        assert found_of["found"] == len(found)
        assert found_of["hits"] == (things[found] == things[one.left]).sum()
        assert found_of["wanted"] == (things == things[one.left]).sum() - 1
    assert "a link counts for both" in results.tasks[0].explanation


def test_blocking_leaves_pairs_of_one_block_alone(data, table, linkers):
    zips = table[0]["zip"]
    pairs = blocked(data, ["zip"])
    within = [(a, b) for a, b in combinations(range(len(zips)), 2) if zips[a] == zips[b]]
    assert list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)) == within
    true = sum(a == b for a, b in combinations(table[1], 2))
    assert f"{len(within):,} of" in pairs.told
    assert f"{true} of {true} known links" in pairs.told
    found = link(data, linkers.Overlap(), meter(), None, 5, "many", pairs)
    assert all(zips[a] == zips[b] for a, b in zip(found.left, found.right, strict=True))
    assert set(zip(found.left, found.right, strict=True)) == set(
        zip(found.right, found.left, strict=True)
    )


def test_two_tables_are_compared_in_blocks(encoder, linkers):
    data = linkers.records()
    results = compare(encoder, [linkers.Overlap()], data, block="city", progress=False)
    assert "Blocking leaves" in results.tasks[0].explanation
    pairs = blocked(data, "city")
    cities = data.left.columns["city"], data.right.columns["city"]
    assert all(cities[0][a] == cities[1][b] for a, b in zip(pairs.left, pairs.right, strict=True))
    assert len(pairs.left) == sum(a == b is not None for a in cities[0] for b in cities[1])
    whole = compare(encoder, [linkers.Overlap()], data, progress=False)
    found, wanted = (
        {s.method: s.score.value for s in one.summary()}["overlap"] for one in (results, whole)
    )
    assert found != wanted


def test_the_untouched_encoder_does_not_find_a_record_itself(data):
    left, right, _ = cosine(data.left, data.right, meter()).nearest(3)
    assert len(left)
    assert (left != right).all()


def test_a_table_of_load_linked_is_taken(table):
    from pyarrow import table as made

    matches = np.array([(a, b) for a, b in combinations(range(6), 2) if table[1][a] == table[1][b]])
    entity = np.array(table[1])
    facts = {"name": "one", "left": made(table[0]), "on": ("name",), "matches": matches}
    data = linking_data(LinkedData(**facts, entity=entity))
    assert data.alone
    truth = np.array(table[1])
    assert pair_agreement(truth, entity).f1 == 1
    assert {tuple(pair) for pair in data.gold} == {
        (a, b)
        for a in range(len(truth))
        for b in range(len(truth))
        if a != b and truth[a] == truth[b]
    }
    with pytest.raises(UsageError, match="not known what every row is"):
        linking_data(LinkedData(**facts, entity=np.where(entity == 3, -1, entity)))


def test_what_means_nothing_is_refused(encoder, data, linkers):
    with pytest.raises(UsageError, match="assign='mutual' with one table"):
        compare(encoder, [linkers.Overlap()], data, task=Linking(assign="mutual"))
    with pytest.raises(UsageError, match="with labelled pairs; leave it out"):
        compare(encoder, [linkers.Overlap()], linkers.labelled(), block="city")
    with pytest.raises(UsageError, match="names 'town', which the left table has not"):
        compare(encoder, [linkers.Overlap()], data, block="town")
