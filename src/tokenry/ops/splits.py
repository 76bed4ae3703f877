"""Parts of a table that share no group, or that hold some of each kind."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from random import Random
from typing import Literal

import numpy as np
from jaxtyping import Bool

Part = Literal["train", "validation", "test"]


def by_group(groups: Sequence[Hashable], held_out: float, draw: Random) -> dict[Hashable, Part]:
    """The part that each group belongs to: a share is held out, half of it for the test.

    Args:
        groups: Of each row; equal ones are one.
        held_out: The share of the groups that is not trained on.
        draw: What the order is drawn by.

    >>> parts = by_group(range(10), 0.4, Random(0))
    >>> sorted(parts.values())[:5]
    ['test', 'test', 'train', 'train', 'train']
    """
    order = list(dict.fromkeys(groups))
    draw.shuffle(order)
    test = round(len(order) * held_out / 2)
    validation = round(len(order) * held_out) - test

    def part(place: int) -> Part:
        if place < test:
            return "test"
        return "validation" if place < test + validation else "train"

    return {group: part(place) for place, group in enumerate(order)}


def every_fourth(labels: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Every fourth row of each kind, at least one of a kind with two: to find a threshold on.

    >>> every_fourth(np.array([True, True, False, False, False])).tolist()
    [False, True, False, True, False]
    """
    held = [np.flatnonzero(kind)[1::4] for kind in (labels, ~labels)]
    return np.isin(np.arange(len(labels)), np.concatenate(held))
