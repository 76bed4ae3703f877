"""Texts as they are compared."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.tables.normalise import column, normalised, rule


@given(st.text(max_size=30), st.sampled_from(["text", "letters", "none"]))
def test_twice_is_once(text, form):
    once = normalised(text, form)
    assert once is None or normalised(once, form) == once
    assert once != ""


@given(st.text(st.characters(max_codepoint=127), max_size=30))
def test_the_short_way_of_ascii_is_the_long_way(text):
    # A letter outside ASCII sends the same text the long way.
    found = normalised(f"{text} λ")
    assert found.removesuffix("λ").strip() == (normalised(text) or "")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("O’Brien & Söhne, GmbH.", "obrien söhne gmbh"),
        ("  a\u00a0b\tc\n", "a b c"),
        ("ﬁne №1 Ⅻ", "fine no1 xii"),
        ("STRASSE straße", "strasse strasse"),
        ("ab\u200bc", "abc"),
        ("a\x00b", "a b"),
        ("C++", "c++"),
        ("?!", None),
        ("", None),
        ("北京（市）", "北京 市"),
    ],
)
def test_forms_of_a_text(text, wanted):
    assert normalised(text) == wanted


def test_letters_have_no_accents():
    assert normalised("Crème Brûlée Ångström", "letters") == "creme brulee angstrom"
    assert normalised("ÀÁ") == "àá"


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([3, None], ["3", None]),
        ([3.0, float("nan"), 2.5], ["3", None, "2 5"]),
        ([True, False], ["true", "false"]),
        ([dt.date(2020, 1, 31)], ["2020 01 31"]),
        (["", " ", None], [None, None, None]),
    ],
)
def test_values_of_any_type_become_texts(values, wanted):
    found = column(pa.chunked_array([pa.array(values)]), rule("text"), "a")
    assert found.to_pylist() == wanted


def test_a_number_is_the_same_key_whatever_type_a_missing_one_made_it():
    whole = column(pa.table({"a": [7]}).column(0), rule("text"), "a")
    broken = column(
        pa.Table.from_pandas(pd.DataFrame({"a": [7, None]})).column(0), rule("text"), "a"
    )
    assert whole.to_pylist() == broken.to_pylist()[:1]


def test_each_distinct_value_is_looked_at_once():
    seen = []
    column(pa.chunked_array([["a", "b"], ["a"]]), lambda text: seen.append(text) or text, "a")
    assert sorted(seen) == ["a", "b"]


def test_lists_are_one_text_and_records_are_no_keys():
    lists = pa.chunked_array([[["A.", None, "b"], [], None, [None]]])
    assert column(lists, rule("text"), "tags").to_pylist() == ["a b", None, None, None]
    with pytest.raises(UsageError, match="column 'tags' holds struct"):
        column(pa.chunked_array([[{"a": 1}]]), rule("text"), "tags")
    with pytest.raises(UsageError, match="normalise='lower' is unknown"):
        rule("lower")
