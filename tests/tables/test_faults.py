"""Bad input: it brings no wrong links and no traceback that nobody understands."""

from __future__ import annotations

import numpy as np
import pytest

import tokenry
from tokenry.errors import UsageError
from tokenry.tables.engine import MemoryLimitError

EMPTY = {"name": [], "city": []}
NULLS = {"name": [None, "", "  ?! ", float("nan")], "city": [None] * 4}
SOME = {"name": ["Ada Lovelace", "Alan Turing"], "city": ["London", "Wilmslow"]}
PLAIN = ["exact", "char-ngrams", "fuzzy", "hybrid(linkers=('char-ngrams', 'fuzzy'))"]


@pytest.mark.parametrize("method", PLAIN)
@pytest.mark.parametrize("nothing", [EMPTY, NULLS], ids=["empty", "nulls"])
def test_sides_without_rows_or_keys_bring_no_links(method, nothing):
    for block in (None, "name:words"):
        for left, right in ((nothing, SOME), (SOME, nothing), (nothing, nothing)):
            links = tokenry.link(left, right, "name", method=method, block=block)
            assert len(links) == 0
            assert len(links.merged("outer")["score"]) == len(left["name"]) + len(right["name"])
        found = tokenry.dedupe(nothing, "name", method=method, block=block)
        assert len(found) == len(nothing["name"])
    assert len(tokenry.link(SOME, SOME, "name", method=method, block=block)) == 2


@pytest.mark.parametrize("method", PLAIN)
def test_one_row_is_a_table_too(method):
    one = {"name": ["Ada Lovelace"]}
    assert len(tokenry.link(one, one, "name", method=method)) == 1
    assert tokenry.dedupe(one, "name", method=method).labels.tolist() == [0]


def test_ids_that_several_rows_have_are_refused_where_they_are_needed(letters):
    left = {"id": ["a", "a", "b"], "name": ["x", "y", "z"]}
    for pairs in ("gold", "known"):
        with pytest.raises(UsageError, match="'a' is the id of several rows in column 'id'"):
            tokenry.link(left, left, "name", method=letters, id="id", **{pairs: [("a", "b", 1)]})
    with pytest.raises(UsageError, match="'q' is no id"):
        tokenry.link(left, left, "name", method=letters, id="id", gold=[("q", "b")])
    assert tokenry.link(left, left, "name", method=letters, id="id", gold=[("b", "b")]).facts[
        "recall"
    ] == pytest.approx(1)


def test_rows_without_an_id_are_in_no_pair_and_whole_numbers_are_the_same_in_any_type(letters):
    left, right = {"id": [1.0, float("nan"), 3.0], "name": ["x", "y", "z"]}, {"id": ["1", None]}
    right |= {"name": ["x", "y"]}
    facts = tokenry.link(left, right, "name", method=letters, id="id", gold=[(1, "1")]).facts
    assert (facts["gold"], facts["recall"]) == (1, 1)
    with pytest.raises(UsageError, match="None is no id"):
        tokenry.link(left, right, "name", method=letters, id="id", gold=[(1, None)])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"gold": [(0, 9)]}, "row 9 is not in the right table"),
        ({"gold": [(-1, 0)]}, "row -1 is not in the left table"),
        ({"gold": [("a", "b")]}, "rows that are no numbers; give id=COLUMN"),
        (
            {"gold": {"a_id": [0], "b_id": [0]}},
            "columns a_id, b_id; call those .* left and right",
        ),
        ({"known": [(0, 0, 7)]}, "labels are 0 or 1"),
        ({"assign": "best"}, "assign='best' is unknown"),
        ({"k": 0}, "k=0 is below 1"),
        ({"max_block": 0}, "max_block=0 is below 1"),
        ({"threshold": float("nan")}, "threshold=nan is no score"),
        ({"threshold": 2, "method": "fuzzy"}, "threshold=2 is above 1, the highest score of fuzzy"),
        (
            {"method": "exact(threshold=1.5)"},
            r"threshold=1.5 is above 1.*give at most 1, or nothing",
        ),
        ({"engine": "spark9"}, "engine='spark9' is unknown"),
        ({"method": "tome"}, "is no linker"),
        ({"encoder": 7}, "encoder is a int"),
    ],
)
def test_settings_that_make_no_sense_are_refused(letters, given, says):
    with pytest.raises(UsageError, match=says):
        tokenry.link(SOME, SOME, "name", **{"method": letters} | given)


def test_labels_may_be_words_and_numbers_with_a_fraction(letters):
    pairs = {"left": [0, 0, 1], "right": [0, 1, 1]}
    for labels in (["yes", "no", "match"], ["1.0", "0.0", "1"], [True, False, True]):
        gold = {**pairs, "label": labels}
        assert tokenry.link(SOME, SOME, "name", method=letters, gold=gold).facts["gold"] == 2
    for label in ("maybe", "0.7", 0.7):
        with pytest.raises(UsageError, match="neither the same nor not"):
            tokenry.classify_pairs(
                {"a": ["x"], "b": ["y"], "same": [label]}, "a", "b", label="same", method=letters
            )


def test_gold_may_name_a_pair_twice_and_in_any_order(letters):
    table = {"name": ["abc", "abc", "q"]}
    gold = {"left": [1, 0, 0], "right": [0, 1, 2], "label": [1, 1, 0]}
    facts = tokenry.dedupe(table, "name", method=letters, gold=gold).links.facts
    assert (facts["gold"], facts["precision"], facts["recall"]) == (1, 1, 1)


def test_mixed_types_meet_as_texts(letters):
    links = tokenry.link({"name": [7, "x", None]}, {"name": [7.0, 8.0]}, "name", method=letters)
    assert links.rows("left").tolist() == [0]
    assert "read as texts" in str(links)


def test_a_giant_block_is_left_out_and_said(letters):
    many = {"name": ["abc"] * 3000, "city": ["x"] * 3000}
    links = tokenry.link(many, many, "name", method=letters, block="city", max_block=1000)
    assert len(links) == 0
    assert links.facts["dropped_pairs"] == 9_000_000
    assert "larger than max_block" in str(links)


def test_a_memory_limit_leaves_what_is_finished(letters, tmp_path):
    from tokenry.tables.duckdb_engine import DuckDBEngine

    many = {"name": [f"a{i % 7} b{i % 5} c{i % 9}" for i in range(20_000)]}
    settings = {"method": letters, "block": "name:words", "max_block": 10**9}
    with pytest.raises(MemoryLimitError, match="Finished stages stay"):
        tokenry.link(
            many,
            many,
            "name",
            folder=tmp_path,
            engine=lambda spill: DuckDBEngine(memory="20MB", spill=spill, disk="1MB", threads=1),
            **settings,
        )
    again = tokenry.link(many, many, "name", folder=tmp_path, **settings | {"max_block": 1})
    assert [one.name for one in again.stages if one.kept] == ["normalise-left", "normalise-right"]


def test_where_the_memory_of_the_process_ran_out_is_said(letters, tmp_path, monkeypatch):
    def full(*_):
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr(type(letters), "prepare", full)
    for folder, says in ((tmp_path, f"stays in {tmp_path}"), (None, "a folder would keep")):
        with pytest.raises(MemoryLimitError, match=rf"stage 'nearest' \(Unable .*{says}"):
            tokenry.link(SOME, SOME, "name", method=letters, folder=folder)


def test_scores_that_are_no_numbers_are_no_links(letters, monkeypatch):
    from tokenry.method import Scored

    class Odd:
        threshold, portion = 0.5, 9

        def nearest(self, k, least, rows):
            return Scored(np.array([0, 1]), np.array([0, 1]), np.array([np.nan, 0.9]))

        def score(self, left, right):
            return np.full(len(left), np.nan)

    monkeypatch.setattr(type(letters), "prepare", lambda *_: Odd())
    assert tokenry.link(SOME, SOME, "name", method=letters).rows("left").tolist() == [1]
    assert len(tokenry.link(SOME, SOME, "name", method=letters, block="city")) == 0
