"""`merge`, `dedupe` and `aggregate`, and what `link` gives back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

import tokenry
from tokenry.errors import UsageError

LEFT = pd.DataFrame({"id": [1, 2, 3, 4], "name": ["abc", "abd", None, "xyz"]})
RIGHT = pd.DataFrame({"name": ["abc", "abce", "qq"], "city": ["u", "v", "w"]}, index=[5, 6, 7])


@pytest.fixture
def merge(letters):
    def merge(left=LEFT, right=RIGHT, **settings):
        return tokenry.merge(left, right, **{"on": "name", "method": letters} | settings)

    return merge


def test_a_merge_has_the_best_row_of_each_left_row(merge):
    found = merge()
    assert type(found) is pd.DataFrame
    assert list(found) == ["id", "name_left", "name_right", "city", "score"]
    assert found["id"].tolist() == [1, 2, 3, 4]
    assert found["city"].tolist()[:2] == ["u", "u"]
    assert found["city"].isna().tolist() == [False, False, True, True]
    assert found["score"].tolist()[:2] == [1.0, 0.5]


@pytest.mark.parametrize(
    ("how", "ids", "cities"),
    [
        ("inner", [1, 2], ["u", "u"]),
        ("left", [1, 2, 3, 4], ["u", "u", None, None]),
        ("right", [1, 2, None, None], ["u", "u", "v", "w"]),
        ("outer", [1, 2, 3, 4, None, None], ["u", "u", None, None, "v", "w"]),
    ],
)
def test_rows_without_a_partner_are_there_or_not(merge, how, ids, cities):
    found = merge(pl.from_pandas(LEFT), RIGHT, how=how)
    assert type(found) is pl.DataFrame
    assert found["id"].to_list() == ids
    assert found["city"].to_list() == cities


def pairs(found):
    rows = found.dropna(subset=["score"])
    return list(zip(rows["id"], rows["name_right"], strict=True))


@pytest.mark.parametrize(
    ("validate", "wanted"),
    [
        ("m:1", [(1, "abc"), (2, "abc")]),
        ("1:1", [(1, "abc"), (2, "abce")]),
        ("1:m", [(1, "abc"), (1, "abce")]),
        ("m:m", [(1, "abc"), (1, "abce"), (2, "abc"), (2, "abce")]),
    ],
)
def test_validate_constrains(merge, validate, wanted):
    found = merge(validate=validate, threshold=0.3)
    assert pairs(found) == wanted
    lefts, rights = (
        pd.Series(side).value_counts().max() for side in zip(*pairs(found), strict=True)
    )
    assert lefts == 1 or validate.endswith("m")
    assert rights == 1 or validate.startswith("m")


def test_k_best_of_each_row_with_and_without_blocks(merge):
    blocked = {"left_on": "name", "right_on": "name", "on": None, "block": "name:1"}
    for settings in ({}, blocked):
        assert pairs(merge(k=2, threshold=0.3, **settings)) == [
            (1, "abc"),
            (1, "abce"),
            (2, "abc"),
            (2, "abce"),
        ]
        assert pairs(merge(k=1, threshold=0.3, **settings)) == [(1, "abc"), (2, "abc")]
    everything = merge(k=99, threshold=-1)
    assert len(pairs(everything)) == 9  # three rows with a name, three right rows, none invented


def test_what_contradicts_itself_is_refused(merge):
    with pytest.raises(UsageError, match="k=2 asks for several"):
        merge(k=2, validate="1:1")
    with pytest.raises(UsageError, match="validate='one'"):
        merge(validate="one")
    with pytest.raises(UsageError, match="how='cross'"):
        merge(how="cross")
    with pytest.raises(UsageError, match="several columns name"):
        merge(suffixes=("", ""))


def test_names_that_differ_and_several_keys(merge):
    left = {"given": ["ab", "ab"], "town": ["x", "y"]}
    right = {"first": ["ab", "ab"], "city": ["y", "x"]}
    found = merge(left, right, on=None, left_on=["given", "town"], right_on=["first", "city"])
    assert found["city"] == ["x", "y"]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"on": None}, r"give on=\[...\] of name"),
        ({"on": None, "left_on": "name"}, "go together"),
        ({"left_on": "id", "right_on": "city"}, "not both"),
        ({"on": None, "left_on": ["id", "name"], "right_on": "name"}, "names 2 columns"),
        ({"on": ["name", "name"]}, "named twice"),
    ],
)
def test_keys_must_be_clear(merge, keys, says):
    with pytest.raises(UsageError, match=says):
        merge(**keys)


def test_dedupe_keeps_every_single_row_and_the_first_of_each_cluster(letters):
    table = pd.DataFrame({"name": ["abc", "q", "ABC.", None, "cab", None, "xy"], "n": range(7)})
    found = tokenry.dedupe(table, "name", method=letters, threshold=0.9)
    assert found.labels.tolist() == [0, 1, 0, 2, 0, 3, 4]
    assert found.first["n"].tolist() == [0, 1, 3, 5, 6]
    assert found.labelled["cluster"].tolist() == found.labels.tolist()
    assert found.table.to_pydict() == {"_row": [*range(7)], "cluster": found.labels.tolist()}
    assert "7 rows are 5 things" in str(found)
    assert found.to_dict()["largest"] == 3
    assert (found.links.rows("left") < found.links.rows("right")).all()


def test_a_cluster_that_swallows_the_table_is_said(letters):
    table = {"name": [f"ab{i % 2}" for i in range(60)]}
    settings = {"method": letters, "block": "name:2"}
    swallowed = tokenry.dedupe(table, "name", threshold=0.1, **settings)
    assert "One cluster has 60 of 60 rows" in str(swallowed)
    assert tokenry.dedupe(table, "name", threshold=1, **settings).notes == ()


def test_guards_of_dedupe(letters):
    table = {"name": ["abcd", "abce", "abef"], "from": ["a", "b", "a"]}
    chain = tokenry.dedupe(table, "name", method=letters, threshold=0.5)
    assert chain.labels.tolist() == [0, 0, 0]
    assert tokenry.dedupe(
        table, "name", method=letters, threshold=0.5, source="from"
    ).labels.tolist() != [0, 0, 0]
    assert tokenry.dedupe(table, "name", method=letters, threshold=0.5, largest=2).sizes.max() <= 2


def test_aggregate_brings_every_row_with_a_key_somewhere(letters):
    fine = {"name": ["red wine", "pale ale", None]}
    found = tokenry.aggregate(fine, {"name": ["wine", "beer"]}, "name", method=letters)
    assert found.rows("left").tolist() == [0, 1]
    assert (
        found.counts().column("rows").to_pylist()
        == np.bincount(found.rows("right"), minlength=2).tolist()
    )
    strict = tokenry.aggregate(
        fine, {"name": ["wine", "beer"]}, "name", method=letters, threshold=0.99
    )
    assert len(strict) == 0


def test_links_say_what_happened(letters, tmp_path):
    gold = [(0, 0), (1, 1), (1, 1)]
    links = tokenry.link(LEFT, RIGHT, "name", method=letters, gold=gold)
    assert {name: links.facts[name] for name in ("gold", "precision", "recall", "f1")} == {
        "gold": 2,
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
    }
    text = str(links)
    assert "2 links between 4 and 3 rows" in text
    assert "Without a partner: 2 left rows, 2 right rows." in text
    assert "precision 0.5000" in text
    assert links.unmatched("left")["id"].tolist() == [3, 4]
    assert links.unmatched("right")["city"].tolist() == ["v", "w"]
    assert links.shown(1) == ["1.000  abc  =  abc"]
    assert links.to_dict()["links"] == 2
    links.write(tmp_path / "out.csv", "outer")
    assert len(pd.read_csv(tmp_path / "out.csv")) == 6


def test_against_no_gold_nothing_was_missed(letters):
    """The same rule as of `evaluate_links`, with links and without."""
    none = {"left": [], "right": []}
    for threshold, precision in ((None, 0), (2.0, 1)):
        links = tokenry.link(
            LEFT, RIGHT, "name", method=letters, block="name:1", threshold=threshold, gold=[]
        )
        pairs = {side: links.rows(side).tolist() for side in ("left", "right")}
        scored = tokenry.evaluate_links(pairs, none).measures["pairs"]
        figures = {name: one.value for name, one in scored.items()}
        assert figures == {"precision": precision, "recall": 1, "f1": precision}
        assert {name: links.facts[name] for name in figures} == figures
        assert links.facts["blocking_recall"] == 1


def test_recall_and_reduction_of_blocks_are_counted(letters):
    links = tokenry.link(LEFT, RIGHT, "name", method=letters, block="name:1", gold=[(0, 0), (3, 2)])
    assert links.facts["candidates"] == 4
    assert links.facts["blocking_recall"] == 0.5
    assert links.facts["reduction"] == pytest.approx(1 - 4 / 12)
