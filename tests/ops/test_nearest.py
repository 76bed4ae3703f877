"""The k best of each row against sorting the whole table."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from tokenry.errors import UsageError
from tokenry.ops import nearest as ours
from tokenry.ops.near_graph import NearGraph
from tokenry.ops.nearest import (
    first_of_each,
    nearest,
    nearest_by,
    products,
    rounded,
    sparse_nearest,
    sparse_products,
)

LEASTS = (-np.inf, 0.0, 0.5, 1.0)


def by_sorting(table, k, least, itself):
    """The definition: sort each row by falling score, then rising column."""
    found = []
    for i, row in enumerate(table):
        every = [(-s, j) for j, s in enumerate(row) if s >= least and (itself or i != j)]
        found += [(i, j, -s) for s, j in sorted(every)[:k]]
    return found


def listed(found):
    return list(zip(*(column.tolist() for column in found), strict=True))


@st.composite
def tables(draw):
    n, m, d = (draw(st.integers(low, 7)) for low in (0, 0, 1))
    source = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return [source.integers(0, 2, (rows, d)) / 2 for rows in (n, m)]


@given(tables(), st.integers(1, 9), st.sampled_from(LEASTS), st.booleans())
def test_dense_and_sparse_are_the_sorted_table(sides, k, least, itself):
    left, right = sides
    wanted = by_sorting(left @ right.T, k, least, itself)
    assert listed(nearest(left, right, k, least, itself=itself)) == wanted
    rows = [sparse.csr_array(side) for side in sides]
    assert listed(sparse_nearest(*rows, k, least, itself=itself)) == wanted


@pytest.mark.parametrize("itself", [True, False])
def test_tiles_do_not_show(monkeypatch, itself):
    source = np.random.default_rng(0)
    left, right = source.integers(0, 3, (40, 4)) / 4, source.integers(0, 3, (57, 4)) / 4
    whole = nearest(left, right, 5, itself=itself)
    rows = sparse.csr_array(left), sparse.csr_array(right)
    monkeypatch.setattr(ours, "_ROWS", 7)
    monkeypatch.setattr(ours, "_COLUMNS", 11)
    monkeypatch.setattr(ours, "_CELLS", 60)
    assert listed(nearest(left, right, 5, itself=itself)) == listed(whole)
    assert listed(sparse_nearest(*rows, 5, itself=itself)) == listed(whole)
    assert listed(whole) == by_sorting(left @ right.T, 5, -np.inf, itself)


def test_long_sparse_rows_are_cut_with_their_ties():
    right = sparse.csr_array(np.repeat([[1.0, 0.0], [0.5, 0.5]], 100, axis=0))
    left = sparse.csr_array(np.array([[1.0, 0.0]]))
    assert listed(sparse_nearest(left, right, 3)) == [(0, 0, 1.0), (0, 1, 1.0), (0, 2, 1.0)]


def test_given_pairs_score_as_the_search_has_them():
    source = np.random.default_rng(0)
    vectors = source.normal(size=(50, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = nearest(vectors, vectors, 4, itself=False)
    assert np.array_equal(products(vectors, vectors, *found[:2]), found.scores)
    rows = sparse.csr_array(np.abs(vectors).astype(np.float64))
    found = sparse_nearest(rows, rows, 4)
    assert np.array_equal(sparse_products(rows, rows, *found[:2]), found.scores)


def test_a_nan_is_in_no_pair():
    table = np.array([[np.nan, 0.1, 0.2], [np.nan, np.nan, np.nan]])
    found = nearest_by(lambda some, others: table[some, others].copy(), (2, 3), 2)
    assert listed(found) == [(0, 2, 0.2), (0, 1, 0.1)]
    none = first_of_each(np.array([0]), np.array([0]), np.array([np.nan]), 3)
    assert listed(none) == []


def test_equal_sums_in_another_order_are_ties():
    scores = np.array([0.1 + 0.2, 0.3])
    assert scores[0] != scores[1]
    assert first_of_each(np.zeros(2, int), np.array([1, 0]), scores, 2).columns.tolist() == [0, 1]
    assert rounded(np.array([0.7, -0.0, np.nan])).tolist()[:2] == [0.7, 0.0]


def nearly_nearest(left, right, k, **given):
    return NearGraph(right).nearest(left, k, **given)


@pytest.mark.parametrize("search", [nearest, nearly_nearest])
def test_no_neighbours_are_refused(search):
    with pytest.raises(UsageError, match="k=0 is below 1"):
        search(np.eye(2), np.eye(2), 0)


@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_the_graph_finds_nearly_the_same(count):
    source = np.random.default_rng(0)
    left, right = (source.normal(size=(n, 16)).astype(np.float32) for n in (count, 400))
    left, right = (s / np.linalg.norm(s, axis=1, keepdims=True) for s in (left, right))
    exact, found = nearest(left, right, 5), nearly_nearest(left, right, 5)
    assert listed(found) == listed(nearly_nearest(left, right, 5))
    assert len(found.rows) == 5 * count
    same = {*listed(exact)} & {*listed(found)}
    assert len(same) >= 0.98 * len(exact.rows)


def test_the_graph_invents_no_row_and_pairs_none_with_itself():
    some = np.eye(4, dtype=np.float32)
    assert len(nearly_nearest(some, some[:2], 9).rows) == 8
    alone = nearly_nearest(some, some, 9, itself=False)
    assert len(alone.rows) == 12
    assert not (alone.rows == alone.columns).any()
    assert len(nearly_nearest(some, some[:0], 3).rows) == 0
