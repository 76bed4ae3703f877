"""Components by joins, and blocking, on every engine: the same rows as everywhere."""

from __future__ import annotations

import threading

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tokenry
from tokenry.errors import TokenryError, UsageError
from tokenry.ops.clusters import components
from tokenry.ops.guards import in_order
from tokenry.tables import blocking
from tokenry.tables.daft_engine import DaftEngine
from tokenry.tables.duckdb_engine import DuckDBEngine
from tokenry.tables.propagation import propagated
from tokenry.tables.spread import spread

MADE = {"duckdb": lambda: DuckDBEngine(threads=1), "daft": DaftEngine}
TEXTS = st.sampled_from(["a", "b", "é", "東京", "a b", "b a", None, "👩‍🍳", "ab"])
TABLE = st.lists(st.tuples(TEXTS, TEXTS), max_size=8)
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.fixture(scope="module", params=MADE)
def engine(request):
    made = MADE[request.param]()
    yield made
    made.close()


def labels(engine, pairs, **settings):
    table = pa.table({"left": pairs[:, 0], "right": pairs[:, 1]})
    found = engine.give(propagated(engine, engine.take(table), **settings))
    return dict(sorted(zip(found["record"].to_pylist(), found["label"].to_pylist(), strict=True)))


@settings(deadline=None, max_examples=6, suppress_health_check=SLOW)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=9))
def test_labels_are_the_lowest_records_of_components(engine, pairs):
    pairs = np.array(pairs, int).reshape(-1, 2)
    found = labels(engine, pairs)
    assert list(found) == sorted(set(pairs.ravel().tolist()))
    wanted = components(pairs, 10)
    for record, label in found.items():
        assert label == np.flatnonzero(wanted == wanted[record]).min()


def test_a_chain_takes_few_rounds_and_each_is_told(engine):
    chain = np.stack((np.arange(199), np.arange(1, 200)), 1)
    rounds = []
    found = labels(engine, chain, told=lambda number, changed: rounds.append((number, changed)))
    assert set(found.values()) == {0}
    assert [number for number, _ in rounds] == list(range(1, len(rounds) + 1))
    assert len(rounds) <= 10
    assert rounds[0][1] == 199
    assert rounds[-1][1] == 0


def test_labels_that_do_not_settle_are_an_error(engine):
    chain = np.stack((np.arange(99), np.arange(1, 100)), 1)
    with pytest.raises(TokenryError, match="rows still change after 2 steps"):
        labels(engine, chain, most=2)


def columns(rows):
    made = (pa.array([row[at] for row in rows], pa.large_string()) for at in (0, 1))
    return pa.table(dict(zip(("name", "city"), made, strict=True)))


def candidates(engine, left, right, rules, most, alone):
    keys = [
        blocking.keys(columns(rows), rules, side)
        for rows, side in ((left, "left"), (right, "right"))
    ]
    blocks, pairs = blocking.candidates(*keys, rules, engine, most, alone)
    found = [tuple(row.values()) for table in pairs for row in table.to_pylist()]
    return sorted(found), (blocks.shared, blocks.pairs, blocks.dropped, blocks.dropped_pairs)


@settings(deadline=None, max_examples=8, suppress_health_check=SLOW)
@given(TABLE, TABLE, st.booleans(), st.sampled_from([2, 100]))
def test_blocking_brings_the_same_rows_on_daft_and_duckdb(left, right, alone, most):
    right = left if alone else right
    rules = blocking.rules(["name", "city:1", "name:words"], ["name", "city"], ["name", "city"])
    both = []
    for make in MADE.values():
        engine = make()
        both.append(candidates(engine, left, right, rules, most, alone))
        engine.close()
    assert both[0] == both[1]


class Shared:
    """Scores a pair by the share of letters in common."""

    threshold = 0.3

    def __init__(self, left, right):
        self.left, self.right = left, right

    def score(self, left, right):
        pairs = ((self.left[i][0], self.right[j][0]) for i, j in zip(left, right, strict=True))
        both = [(set(a or ""), set(b or "")) for a, b in pairs]
        return np.array([len(a & b) / len(a | b) if a and b else np.nan for a, b in both])


def spread_over(engine, left, right, alone, k):
    rules = blocking.rules(["city", "name:1"], ["name", "city"], ["name", "city"])
    keys = [
        blocking.keys(columns(rows), rules, side)
        for rows, side in ((left, "left"), (right, "right"))
    ]
    matcher = Shared(left, right)
    held = (engine.take(one) for one in keys)
    links = engine.give(spread(engine, *held, matcher, k=k, alone=alone))
    return sorted(tuple(row.values()) for row in links.to_pylist())


def by_loops(left, right, alone, k):
    matcher, found = Shared(left, right), []
    for i, (name, city) in enumerate(left):
        row = []
        for j, (other, town) in enumerate(right):
            same = [bool(city) and city == town, bool(name and other) and name[0] == other[0]]
            score = matcher.score([i], [j])[0]
            if any(same) and score >= 0.3 and not (alone and i >= j):
                row.append((i, j, same.index(True), score))
        row.sort(key=lambda link: (-link[3], link[1]))
        found += row if k is None else row[:k]
    return sorted(found)


@settings(deadline=None, max_examples=6, suppress_health_check=SLOW)
@given(TABLE, TABLE, st.booleans(), st.sampled_from([None, 1, 2]))
def test_the_whole_plan_brings_what_loops_do(engine, left, right, alone, k):
    right = left if alone else right
    assert spread_over(engine, left, right, alone, k) == by_loops(left, right, alone, k)


def test_link_takes_daft_by_name():
    left = {"name": ["ada l", "alan t", None], "city": ["x", "y", "x"]}
    right = {"name": ["alan t", "ada l"], "city": ["y", "x"]}
    found = [
        tokenry.link(left, right, "name", method="exact", block="city", engine=name).pairs
        for name in MADE
    ]
    assert found[0] == found[1]
    assert found[0]["left"] == [0, 1]
    with pytest.raises(UsageError, match=r"daft: memory='9GB' cannot be kept"):
        tokenry.link(left, right, "name", block="city", engine="daft", memory="9GB")


def test_daft_refuses_a_rule_that_cannot_travel():
    engine = DaftEngine()
    schema = pa.schema([("left", pa.int64())])
    lock = threading.Lock()
    with pytest.raises(UsageError, match=r"daft: a rule cannot be sent to other processes.*lock"):
        engine.map_batches(engine.take(schema.empty_table()), lambda batch: lock, schema)


def test_labels_number_components_as_everywhere_else(engine):
    pairs = np.array([[5, 3], [3, 8], [1, 2]])
    found = labels(engine, pairs)
    records = np.array(list(found))
    ours = components(np.searchsorted(records, pairs), len(records))
    assert in_order(np.array(list(found.values()))).tolist() == in_order(ours).tolist()
