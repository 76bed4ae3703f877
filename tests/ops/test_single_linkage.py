"""Single linkage: the same as DBSCAN with one point, and the best cut by trying all."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from tokenry.errors import UsageError
from tokenry.ops import single_linkage
from tokenry.ops.clusters import adjusted_rand
from tokenry.ops.pooled import best_pooled_cut, pool
from tokenry.ops.single_linkage import best_cut, linked


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def groups():
    """Twelve groups of five near each other, on a sphere."""
    draw = np.random.default_rng(0)
    gold = np.repeat(np.arange(12), 5)
    return unit(draw.normal(size=(12, 6))[gold] + 0.15 * draw.normal(size=(60, 6))), gold


@pytest.mark.parametrize("distance", [0.01, 0.05, 0.2, 1.0])
def test_labels_are_those_of_dbscan(groups, distance):
    from sklearn.cluster import DBSCAN

    x, _ = groups
    theirs = DBSCAN(eps=distance, min_samples=1, metric="cosine").fit_predict(x)
    assert adjusted_rand(linked(x, distance), theirs) == 1.0


def test_blocks_make_no_difference(groups, monkeypatch):
    x, _ = groups
    whole = linked(x, 0.05)
    monkeypatch.setattr(single_linkage, "_BLOCK", 7)
    assert linked(x, 0.05).tolist() == whole.tolist()


def test_a_greater_distance_only_joins(groups):
    x, _ = groups
    parts = [linked(x, d) for d in (0.01, 0.1, 0.3, 1.0)]
    for fine, coarse in pairwise(parts):
        for label in set(fine):
            assert len(set(coarse[fine == label])) == 1


def test_the_best_cut_is_the_best_of_all(groups):
    x, gold = groups
    distances = [0.02 * step for step in range(1, 30)]
    found = best_cut(x, gold, distances)
    tried = [adjusted_rand(linked(x, d), gold) for d in distances]
    assert found.agreement == pytest.approx(max(tried))
    assert found.distance == distances[int(np.argmax(tried))]
    assert 0.8 < found.agreement <= 1


def test_one_record_has_no_cut():
    with pytest.raises(UsageError, match="make no tree"):
        best_cut(np.ones((1, 2)), np.zeros(1, dtype=np.int64))


def test_the_weight_is_chosen_where_one_side_is_noise(groups):
    x, gold = groups
    noise = unit(np.random.default_rng(1).normal(size=x.shape))
    shown, read = torch.from_numpy(x), torch.from_numpy(noise)
    for pair, wanted in (((shown, read), 1.0), ((read, shown), 0.0)):
        found = best_pooled_cut(*pair, gold, weights=(0.0, 0.5, 1.0))
        assert found.weight == wanted
        assert found[1:] == best_cut(pool(*pair, wanted).double().numpy(), gold)
