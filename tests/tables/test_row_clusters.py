"""Clusters by vectors: what joins, and that what is like no other stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.linking.conftest import Trigrams

from tokenry.errors import UsageError
from tokenry.ops.clusters import components
from tokenry.ops.vector_clusters import cluster_vectors
from tokenry.tables.row_clusters import cluster_rows

NAMES = ["Acme Inc", "acme inc.", "Zebra Ltd", None, "zebra ltd", "Quite Other", "", "Lonely"]


def units(count, seed, width=3):
    x = np.random.default_rng(seed).normal(size=(count, width))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 25), st.integers(0, 50), st.sampled_from([0.02, 0.1, 0.4]))
def test_single_is_what_chains_of_near_pairs_join(count, seed, distance):
    x = units(count, seed)
    near = np.argwhere(np.triu(1 - x @ x.T <= distance, 1))
    wanted = components(near.reshape(-1, 2), count)
    assert cluster_vectors(x, distance=distance).tolist() == wanted.tolist()


@settings(deadline=None, max_examples=20)
@given(
    st.integers(0, 20),
    st.integers(0, 20),
    st.sampled_from(["single", "average", "ward", "hdbscan"]),
)
def test_every_row_is_in_a_cluster_and_the_numbers_have_no_gap(count, seed, by):
    labels = cluster_vectors(units(count, seed), by)
    assert len(labels) == count
    firsts = [int(np.flatnonzero(labels == one)[0]) for one in range(len(set(labels.tolist())))]
    assert firsts == sorted(firsts)


def test_smaller_clusters_than_asked_for_are_single_rows():
    x = np.repeat(np.eye(3), [4, 2, 1], axis=0)
    assert cluster_vectors(x).tolist() == [0, 0, 0, 0, 1, 1, 2]
    assert cluster_vectors(x, least=3).tolist() == [0, 0, 0, 0, 1, 2, 3]


def test_a_chain_is_a_cluster_however_thin():
    turned = 0.2 * np.arange(5)
    x = np.stack((np.cos(turned), np.sin(turned)), 1)
    assert cluster_vectors(x, distance=0.03, least=5).tolist() == [0] * 5
    assert cluster_vectors(x, distance=0.03, least=6).tolist() == [*range(5)]


@pytest.mark.parametrize("by", ["average", "ward"])
def test_equal_rows_are_one_cluster_and_others_are_not(by):
    x = np.repeat(np.eye(4), [3, 2, 1, 1], axis=0)
    assert cluster_vectors(x, by).tolist() == [0, 0, 0, 1, 1, 2, 3]


def test_dense_groups_are_found_among_scattered_rows():
    draw = np.random.default_rng(0)
    x = np.concatenate([np.eye(8)[i] + draw.normal(size=(20, 8)) * 0.02 for i in range(3)])
    x = np.concatenate([x, draw.normal(size=(6, 8))])
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    labels = cluster_vectors(x, "hdbscan")
    for start in (0, 20, 40):
        assert len(set(labels[start : start + 20])) == 1
    assert len(set(labels[:60])) == 3


@pytest.mark.parametrize("by", ["single", "average", "ward"])
def test_rows_without_a_text_and_rows_like_no_other_stay(by):
    found = cluster_rows({"name": NAMES, "n": [*range(8)]}, "name", by=by, encoder=Trigrams())
    assert found.labels.tolist() == [0, 0, 1, 2, 1, 3, 4, 5]
    assert found.first["n"] == [0, 2, 3, 5, 6, 7]
    assert found.labelled["cluster"] == found.labels.tolist()


def test_an_empty_table_has_no_clusters():
    found = cluster_rows({"name": []}, "name", encoder=Trigrams())
    assert len(found) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distance": -0.1}, "distance=-0.1 with by='single'; it is at least 0"),
        ({"by": "hdbscan", "distance": 0.1}, "goes with single, average, ward"),
        ({"by": "ward", "least": 3}, "goes with single, hdbscan"),
        ({"least": 1}, "at least 2"),
    ],
)
def test_refuses_settings_that_mean_nothing(settings, message):
    with pytest.raises(UsageError, match=message):
        cluster_vectors(units(4, 0), **settings)


def test_refuses_a_way_that_is_not_there():
    with pytest.raises(UsageError, match="by='kmeans' is unknown; give single"):
        cluster_rows({"name": NAMES}, "name", by="kmeans", encoder=Trigrams())
