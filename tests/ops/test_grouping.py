"""Groups of rows against scipy's own cut and by hand."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from tokenry.ops.grouping import first_merges, group_means, kept_rows


def partition(labels):
    """The same labels, named in the order in which they come."""
    names = {}
    return [names.setdefault(label, len(names)) for label in labels]


@given(st.integers(2, 30), st.integers(0, 10_000), st.data())
def test_merges_equal_scipys_cut(n, seed, data):
    count = data.draw(st.integers(1, n))
    merges = linkage(np.random.default_rng(seed).normal(size=(n, 4)), method="ward")
    got = first_merges(merges[: n - count, :2].astype(np.int64), n).tolist()
    assert got == partition(fcluster(merges, count, "maxclust"))


def test_equal_rows_still_give_the_count():
    merges = linkage(np.ones((6, 2)), method="ward")
    for count in range(1, 7):
        got = first_merges(merges[: 6 - count, :2].astype(np.int64), 6)
        assert sorted(set(got.tolist())) == list(range(count))


def test_means_by_hand():
    x = torch.tensor([[3.0, 0.0], [0.0, 4.0], [9.0, 9.0], [0.6, 0.8]])
    means = group_means(x, torch.tensor([0, 0, -1, 1]))
    assert torch.allclose(means[0], torch.tensor([0.6, 0.8]) * 3.5)
    assert torch.equal(means[1], x[3])
    halves = torch.nn.functional.normalize(torch.randn(5, 8), dim=1).half()
    assert torch.equal(group_means(halves, torch.arange(5)), halves)
    assert torch.allclose(
        group_means(halves, torch.zeros(5).long()).float().norm(), torch.tensor(1.0), atol=1e-3
    )


def test_opposite_rows_have_no_mean_and_give_no_nan():
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert group_means(x, torch.tensor([0, 0])).tolist() == [[0.0, 0.0]]
    assert group_means(x, torch.tensor([-1, -1])).shape == (0, 2)


def test_kept_rows_stay_in_reading_order():
    assert kept_rows(torch.tensor([4, 0]), 5).tolist() == [0, -1, -1, -1, 1]
