"""Spans against sets of characters."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops import spans as ops

ROW = st.tuples(st.integers(0, 2), st.integers(0, 20), st.integers(0, 8)).map(
    lambda row: (row[0], row[1], row[1] + row[2])
)
ROWS = st.lists(ROW, max_size=8)


def characters(rows):
    return {(document, at) for document, start, end in rows for at in range(start, end)}


@settings(deadline=None, max_examples=60)
@given(ROWS)
def test_a_union_covers_the_same_in_order_and_apart(rows):
    found = ops.union(ops.spans(rows)).tolist()
    assert characters(found) == characters(rows)
    assert ops.covered(ops.spans(rows)) == len(characters(rows)) == ops.total(ops.spans(found))
    for (document, _, end), (later, start, _) in itertools.pairwise(found):
        assert (document, end) < (later, start)


@settings(deadline=None, max_examples=60)
@given(ROWS, ROWS)
def test_shared_and_left_over_are_those_of_sets(rows, others):
    a, b = ops.spans(rows), ops.spans(others)
    assert characters(ops.intersection(a, b).tolist()) == characters(rows) & characters(others)
    assert characters(ops.difference(a, b).tolist()) == characters(rows) - characters(others)


@settings(deadline=None, max_examples=60)
@given(ROWS, ROWS)
def test_touching_is_sharing_a_character_or_a_border(rows, others):
    a, b = ops.spans(rows), ops.spans(others)
    real = [o for o in others if o[2] > o[1]]
    assert ops.touching(a, b).tolist() == [
        bool(characters([row]) & characters(others)) for row in rows
    ]
    assert ops.touching(a, b, closed=True).tolist() == [
        any(o[0] == d and max(s, o[1]) <= min(e, o[2]) for o in real) for d, s, e in rows
    ]


def test_characters_become_the_tokens_that_they_lie_in():
    tokens = np.array([(0, 3), (4, 7), (8, 9)])
    start, end = np.array([0, 3, 2, 6, 9]), np.array([9, 4, 5, 6, 12])
    assert ops.in_tokens(start, end, tokens).tolist() == [[0, 3], [1, 1], [0, 2], [1, 1], [3, 3]]


@pytest.mark.parametrize("rows", [[(0, 5, 3)], [(0, -1, 3)], [(0, 1)], [(0.5, 1, 2)]])
def test_what_is_no_span_is_refused(rows):
    with pytest.raises(UsageError, match="spans: "):
        ops.spans(rows)
