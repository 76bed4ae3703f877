"""Batches of so many items of so many classes, and of classes that are easily confused.

`tokenry.ops.batches.by_group` deals out every row, in batches that differ in size; here all batches
are made up alike, so that a loss sees as much of each class, and some items wait for long.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import numpy as np
from jaxtyping import Float, Int

from tokenry.errors import UsageError

Labels = Int[np.ndarray, " n"]


def near_classes(vectors: Float[np.ndarray, "c d"], k: int) -> Int[np.ndarray, "c k"]:
    """The `k` classes nearest to each by inner product, itself the first of them.

    Args:
        vectors: One of length one for each class.
        k: At most as many as there are classes.

    >>> near_classes(np.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]]), 2).tolist()
    [[0, 2], [1, 2], [2, 0]]
    """
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, np.inf)  # twins score as high as a class does with itself
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def class_batches(
    labels: Labels,
    per_class: int,
    size: int,
    draw: Random,
    near: Int[np.ndarray, "c k"] | None = None,
) -> Iterator[Int[np.ndarray, " b"]]:
    """Batches of `per_class` items of each of `size / per_class` classes, without end.

    With `near`, a batch is made of groups of classes that are easily confused, none of them twice.
    Every class, or group, is tried once before any comes again; what fills no batch is left out.

    Args:
        labels: The class of each item.
        per_class: Items of a class, each once; those of a class that has fewer come again.
        size: Items of a batch.
        draw: What is drawn with.
        near: Numbers of classes, in the order of the sorted labels: for each class its group.

    Raises:
        UsageError: If the size does not fit, or no batch can be made.
    """
    classes, of_item = np.unique(labels, return_inverse=True)
    groups = np.arange(len(classes))[:, None] if near is None else near
    of_group = groups.shape[1] * per_class
    if per_class < 1 or size < of_group or size % of_group:
        raise UsageError(
            f"class_batches: a batch of {size} does not divide into groups of {groups.shape[1]} "
            f"classes of {per_class} items; take a multiple of {of_group}."
        )
    order = np.argsort(of_item, kind="stable")
    items = np.split(order, np.cumsum(np.bincount(of_item, minlength=len(classes)))[:-1])
    while True:
        made = 0
        for chosen in _round(groups, size // of_group, draw):
            made += 1
            yield np.concatenate([_some(items[one], per_class, draw) for one in chosen])
        if not made:
            raise UsageError(
                f"class_batches: {len(classes)} classes make no batch of {size // per_class} that "
                "are all different; take a smaller batch."
            )


def _round(groups: Int[np.ndarray, "c k"], count: int, draw: Random) -> Iterator[list[int]]:
    waiting = draw.sample(range(len(groups)), len(groups))
    while True:
        taken: list[int] = []
        later: list[int] = []
        chosen: set[int] = set()
        for anchor in waiting:
            group = groups[anchor].tolist()
            full = len(chosen) == count * groups.shape[1]
            if full or chosen & set(group):
                later.append(anchor)
            else:
                taken += group
                chosen |= set(group)
        if len(taken) < count * groups.shape[1]:
            return
        yield taken
        waiting = later


def _some(items: Int[np.ndarray, "_"], count: int, draw: Random) -> Int[np.ndarray, "_"]:
    """So many items in an order drawn anew; the first ones again where there are too few."""
    mixed = draw.sample(items.tolist(), min(count, len(items)))
    return np.resize(np.array(mixed, dtype=np.int64), count)
