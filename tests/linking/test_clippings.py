"""CLIPPINGS: one vector for a picture and a text, its losses by brute force, and its links."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry import checks
from tokenry.errors import UsageError
from tokenry.linking import Clippings
from tokenry.method import Aids, Batch, Scored, Side
from tokenry.ops.similarity import unit

X = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
Y = torch.randn(12, 5, generator=torch.Generator().manual_seed(1))
GROUPS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
BATCH = Batch(vectors={"picture": X, "text": Y}, groups=GROUPS)


def test_the_weights_of_one_and_zero_are_the_encoders_own():
    assert torch.equal(Clippings(weight=1.0).pool(X, Y), unit(X))
    assert torch.equal(Clippings(weight=0.0).pool(X, Y), unit(Y))


@given(st.floats(0, 1), st.floats(0.01, 100))
@settings(deadline=None)
def test_pooled_vectors_have_length_one_whatever_the_lengths_were(weight, longer):
    rule = Clippings(weight=weight)
    pooled = rule.pool(X, Y)
    assert torch.allclose(pooled.norm(dim=1), torch.ones(12))
    assert torch.allclose(rule.pool(longer * X, Y), pooled, atol=1e-5)
    wanted = weight * X / X.norm(dim=1, keepdim=True) + (1 - weight) * unit(Y)
    assert torch.allclose(pooled, wanted / wanted.norm(dim=1, keepdim=True), atol=1e-5)


def test_the_loss_of_pairs_by_brute_force():
    """Both ways, records of equal texts (one group) not told from each other."""
    scores = (unit(X) @ unit(Y).T / 0.1).tolist()
    total = 0.0
    for table in (scores, [list(column) for column in zip(*scores, strict=True)]):
        for i in range(12):
            others = [j for j in range(12) if j == i or GROUPS[j] != GROUPS[i]]
            total -= table[i][i] - math.log(sum(math.exp(table[i][j]) for j in others))
    loss = Clippings(stage="pairs").loss(BATCH).total
    assert float(loss) == pytest.approx(total / 24, rel=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_loss_of_classes_is_that_of_another_library(weight):
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    pooled = Clippings(weight=weight).pool(X, Y)
    theirs = losses.SupConLoss(temperature=0.1)(pooled, GROUPS)
    loss = Clippings(weight=weight).loss(BATCH).total
    assert float(loss) == pytest.approx(float(theirs), rel=1e-4)


def test_the_loss_of_distances_by_brute_force():
    pooled = Clippings().pool(X, Y)
    total, count = 0.0, 0
    for i in range(12):
        for j in range(i):
            distance = 1 - float(pooled[i] @ pooled[j])
            over = distance if GROUPS[i] == GROUPS[j] else max(0.0, 0.5 - distance)
            total, count = total + over**2 / 2, count + 1
    loss = Clippings(stage="distances").loss(BATCH).total
    assert float(loss) == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("stage", ["classes", "distances"])
def test_classes_are_needed_where_they_teach(stage):
    with pytest.raises(UsageError, match="learns from classes, and the batch has none"):
        Clippings(stage=stage).loss(Batch(vectors=BATCH.vectors))


def side(pictures, texts):
    return Side(columns={"picture": pictures, "name": texts}, keys=("name",), count=len(texts))


def vectors(things):
    """A vector by the first letter."""
    return np.eye(4, dtype=np.float32)[["abcd".index(str(one)[0]) for one in things]]


AIDS = Aids(embed=vectors, picture=vectors)


def test_a_record_links_by_both():
    left = side(["a1", "b1", "c1", None], ["a", "a", None, None])
    right = side(["a2", "b2", "c2"], ["a", "b", "c"])
    matcher = Clippings(weight=0.5).prepare(left, right, AIDS)
    every = np.array([0, 0, 1, 1, 2, 3]), np.array([0, 1, 0, 1, 2, 0])
    half = math.sqrt(0.5)
    wanted = [1, 0, half, half, 1, np.nan]
    assert np.allclose(matcher.score(*every), wanted, equal_nan=True, atol=1e-6)
    found = matcher.nearest(1)
    assert found.left.tolist() == [0, 1, 2]
    assert found.right.tolist() == [0, 0, 2]  # of equal scores the lower row
    assert matcher.threshold == 0.8


@pytest.mark.parametrize(("weight", "best"), [(1.0, 1), (0.0, 0), (0.7, 1), (0.3, 0)])
def test_the_weight_says_which_side_counts(weight, best):
    left, right = side(["b"], ["a"]), side(["a", "b"], ["a", "b"])
    assert Clippings(weight=weight).prepare(left, right, AIDS).nearest(1).right.tolist() == [best]


def test_what_does_not_count_is_not_asked_for():
    bare = Side(columns={"name": ["a"]}, keys=("name",), count=1)
    found = Clippings(weight=0).prepare(bare, bare, Aids(embed=vectors))
    assert len(found.nearest(1).left) == 0  # a row is no match of itself
    with pytest.raises(UsageError, match="needs a column 'picture'"):
        Clippings().prepare(bare, bare, AIDS)
    with pytest.raises(UsageError, match="needs picture"):
        Clippings(weight=1).prepare(side(["a"], ["a"]), side(["a"], ["a"]), Aids(embed=vectors))


def test_known_pairs_say_where_a_match_begins():
    left, right = side(["a", "b"], ["a", "a"]), side(["a", "b"], ["a", "b"])
    known = Scored(np.array([0, 1, 1]), np.array([0, 1, 0]), np.array([1.0, 1.0, 0.0]))
    aids = Aids(embed=vectors, picture=vectors, known=known)
    at = Clippings(weight=0.6).prepare(left, right, aids).threshold
    assert at == pytest.approx(0.6 / math.hypot(0.6, 0.4), abs=1e-6)
    assert Clippings(threshold=0.9).prepare(left, right, aids).threshold == 0.9


def test_both_encoders_share_a_space():
    aids = Aids(embed=vectors, picture=lambda some: np.ones((len(some), 3)))
    one = side(["a"], ["a"])
    with pytest.raises(UsageError, match="take both from one dual encoder"):
        Clippings().prepare(one, one, aids)


@pytest.mark.parametrize("name", sorted(checks.LINKER))
def test_common_checks(name):
    assert checks.LINKER[name](Clippings) == ""
