"""Blocking against a comparison of all pairs."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.tables import blocking
from tokenry.tables.duckdb_engine import DuckDBEngine

RULES = ["city", "name:2", "name:words", "zip+city", "name:words+zip"]
cell = st.one_of(st.none(), st.sampled_from(["a", "ab", "ab c", "c ab", "b", "é", "ab ab"]))
rows = st.lists(st.fixed_dictionaries({"city": cell, "name": cell, "zip": cell}), max_size=8)
KEYS = {
    "": lambda text: {text},
    "words": lambda text: set(text.split()),
    "2": lambda text: {text[:2]},
}


@pytest.fixture(scope="module")
def engine():
    made = DuckDBEngine(threads=1)
    yield made
    made.close()


def table(some):
    return pa.table(
        {
            name: pa.array([row[name] for row in some], pa.large_string())
            for name in ("city", "name", "zip")
        }
    )


def found(left, right, texts, engine, most=10**6):
    rules = blocking.rules(texts, ["city", "name", "zip"], ["city", "name", "zip"])
    alone = right is left
    keys = [
        blocking.keys(table(one), rules, side) for one, side in ((left, "left"), (right, "right"))
    ]
    if not alone:
        keys[0] = blocking.keys(table(left), rules, "left", keys[1])
    blocks, pairs = blocking.candidates(*keys, rules, engine, most, alone)
    return blocks, sorted(tuple(row.values()) for part in pairs for row in part.to_pylist())


def by_hand(left, right, texts, most=10**6):
    """Each rule's keys of each row, all pairs, the first rule that joins them."""
    rules = blocking.rules(texts, ["city", "name", "zip"], ["city", "name", "zip"])

    def keys(row, rule):
        joined = {()}
        for part in rule.parts:
            value = row[part.left]
            joined = (
                set()
                if value is None
                else {(*old, new) for old in joined for new in KEYS[part.how](value)}
            )
        return joined

    def pairs(rule, key):
        lefts = [i for i, row in enumerate(left) if key in keys(row, rule)]
        rights = [i for i, row in enumerate(right) if key in keys(row, rule)]
        both = [(i, j) for i in lefts for j in rights]
        return [(i, j) for i, j in both if i < j] if right is left else both

    first = {}
    for rule in rules:
        for key in {key for row in left for key in keys(row, rule)}:
            inside = pairs(rule, key)
            for pair in inside if len(inside) <= most else ():
                first.setdefault(pair, rule.text)
    return sorted((*pair, source) for pair, source in first.items())


@settings(deadline=None, max_examples=40)
@given(rows, rows, st.lists(st.sampled_from(RULES), min_size=1, max_size=3, unique=True))
def test_pairs_are_those_of_all_compared_with_all(engine, left, right, texts):
    assert found(left, right, texts, engine)[1] == by_hand(left, right, texts)


@settings(deadline=None, max_examples=25)
@given(
    rows, st.lists(st.sampled_from(RULES), min_size=1, max_size=2, unique=True), st.integers(1, 6)
)
def test_one_table_and_blocks_that_are_too_large(engine, some, texts, most):
    assert found(some, some, texts, engine, most)[1] == by_hand(some, some, texts, most)


def test_keys_are_the_same_in_any_chunks(monkeypatch):
    some = table([{"city": f"c{i % 3}", "name": f"a{i} b", "zip": None} for i in range(10)])
    rules = blocking.rules(RULES, some.column_names, some.column_names)
    whole = blocking.keys(some, rules, "left")
    monkeypatch.setattr(blocking, "CHUNK", 3)
    order = [("left", "ascending"), ("key", "ascending")]
    assert blocking.keys(some, rules, "left").sort_by(order).equals(whole.sort_by(order))


def test_a_huge_block_is_left_out_and_reported(engine):
    many = [{"city": "x", "name": f"n{i % 4}", "zip": None} for i in range(100_000)]
    few = [{"city": "x", "name": "n1", "zip": "7"}] * 20
    blocks, pairs = found(many, few, ["city", "name"], engine, 600_000)
    assert (blocks.dropped, blocks.dropped_pairs) == (1, 2_000_000)
    assert blocks.largest == [("city", "x", 2_000_000)]
    assert "1 of 2 blocks with 2,000,000 pairs" in str(blocks)
    assert len(pairs) == 25_000 * 20
    assert {source for *_, source in pairs} == {"name"}


def test_a_huge_block_takes_no_more_memory_than_its_keys(tmp_path):
    many = [{"city": "x", "name": None, "zip": f"{i // 2}"} for i in range(100_000)]
    small = DuckDBEngine(memory="64MB", spill=tmp_path, disk="1MB", threads=1)
    blocks, pairs = found(many, many, ["city", "zip"], small)
    small.close()
    assert blocks.dropped_pairs == 100_000 * 99_999 // 2
    assert pairs == [(i, i + 1, "zip") for i in range(0, 100_000, 2)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("town", "names 'town', which the left table has not"),
        ("city=town", "names 'town', which the right table has not"),
        ("name:", "names 'name:'"),
        ("name:0", "names 'name:0'"),
        ("", "cannot be read"),
        ("city+", "cannot be read"),
    ],
)
def test_a_rule_that_cannot_be_read_is_refused(text, says):
    with pytest.raises(UsageError, match=says):
        blocking.rules(text, ["city", "name"], ["city", "name"])
    with pytest.raises(UsageError, match="given twice"):
        blocking.rules(["city", "city"], ["city"], ["city"])


def test_columns_may_have_odd_or_different_names():
    rules = blocking.rules(["a+b", "a=x:3"], ["a+b", "a"], ["a+b", "x"])
    assert blocking.columns(rules, "left") == ("a+b", "a")
    assert blocking.columns(rules, "right") == ("a+b", "x")
    assert rules[1].parts[0].how == "3"
