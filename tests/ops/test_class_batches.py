"""Batches of classes: so many items of so many, and groups that are easily confused."""

from __future__ import annotations

from itertools import islice
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops.class_batches import class_batches, near_classes


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
@settings(deadline=None, max_examples=50)
def test_every_batch_holds_so_many_items_of_so_many_classes(per_class, wide, seed):
    draw = Random(seed)
    sizes = [draw.randint(per_class, 6) for _ in range(wide + 3)]
    labels = np.repeat(np.arange(len(sizes)) * 7 - 3, sizes)
    draw.shuffle(labels)
    for batch in islice(class_batches(labels, per_class, per_class * wide, draw), 8):
        assert len(batch) == len(set(batch.tolist())) == per_class * wide
        _, counts = np.unique(labels[batch], return_counts=True)
        assert counts.tolist() == [per_class] * wide


def test_every_class_comes_once_before_any_comes_again():
    labels = np.repeat(np.arange(12), 5)
    batches = list(islice(class_batches(labels, 2, 8, Random(0)), 3))
    assert sorted(labels[np.concatenate(batches)].tolist()) == sorted([*range(12)] * 2)


def test_items_of_a_small_class_come_again():
    batch = next(class_batches(np.array([0, 1, 1, 1]), 3, 6, Random(0)))
    assert sorted(batch.tolist()) == [0, 0, 0, 1, 2, 3]


def test_near_classes_by_brute_force():
    x = np.random.default_rng(0).normal(size=(9, 4))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    near = near_classes(x, 3)
    for row, group in enumerate(near):
        others = sorted(set(range(9)) - {row}, key=lambda c: -float(x[row] @ x[c]))
        assert group.tolist() == [row, *others[:2]]
    twins = near_classes(np.ones((3, 1)), 2)
    assert twins[:, 0].tolist() == [0, 1, 2]  # itself comes first, whatever else is as near


def test_a_batch_is_made_of_whole_groups_no_class_twice():
    draw, near = np.random.default_rng(1), None
    labels = np.repeat(np.arange(30), 4)
    x = draw.normal(size=(30, 5))
    near = near_classes(x / np.linalg.norm(x, axis=1, keepdims=True), 3)
    groups = {frozenset(group) for group in near.tolist()}
    for batch in islice(class_batches(labels, 2, 12, Random(0), near), 10):
        classes = labels[batch]
        _, counts = np.unique(classes, return_counts=True)
        assert counts.tolist() == [2] * 6
        assert {frozenset(classes[:6].tolist()), frozenset(classes[6:].tolist())} <= groups


@pytest.mark.parametrize(("size", "k"), [(5, 1), (4, 3), (0, 1), (8, 3)])
def test_a_size_that_does_not_divide_is_refused(size, k):
    near = np.tile(np.arange(k), (9, 1))
    with pytest.raises(UsageError, match="does not divide into groups"):
        next(class_batches(np.repeat(np.arange(9), 2), 2, size, Random(0), near))


def test_groups_that_all_overlap_make_no_batch():
    near = np.array([[0, 1], [1, 0], [2, 0]])
    with pytest.raises(UsageError, match="make no batch"):
        next(class_batches(np.repeat(np.arange(3), 2), 1, 4, Random(0), near))
