"""Parts of a table that share no group, or that hold some of each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from random import Random
from typing import Literal

import numpy as np
from jaxtyping import Bool

Part = Literal["train", "validation", "test"]


def by_group(
    groups: Sequence[Hashable],
    held_out: float,
    draw: Random,
    joined: Iterable[tuple[Hashable, Hashable]] = (),
) -> dict[Hashable, Part]:
    """The part that each group belongs to: a share is held out, half of it for the test.

    A row that joins a group of one part with a group of another is in neither. Held-out parts
    therefore grow from drawn groups along the rows that join them to others, by whatever has the
    most rows with what is in and the fewest with what is not.

    Args:
        groups: Of each row; equal ones are one.
        held_out: The share of the groups that is not trained on.
        draw: What the order is drawn by.
        joined: Two groups for each row that has two.

    >>> parts = by_group(range(10), 0.4, Random(0))
    >>> sorted(parts.values())[:5]
    ['test', 'test', 'train', 'train', 'train']
    >>> pairs = by_group(range(10), 0.4, Random(0), [(i, i + 5) for i in range(5)])
    >>> all(pairs[i] == pairs[i + 5] for i in range(5))
    True
    """
    order = list(dict.fromkeys(groups))
    draw.shuffle(order)
    beside: dict[Hashable, Counter[Hashable]] = {group: Counter() for group in order}
    for one, other in joined:
        if one != other:
            beside[one][other] += 1
            beside[other][one] += 1
    test = round(len(order) * held_out / 2)
    sizes: dict[Part, int] = {"test": test, "validation": round(len(order) * held_out) - test}
    found: dict[Hashable, Part] = {}
    for part, size in sizes.items():
        free = [group for group in order if group not in found]
        found |= dict.fromkeys(_grown(free, beside, size), part)
    return {group: found.get(group, "train") for group in order}


def _grown(
    free: Sequence[Hashable], beside: Mapping[Hashable, Counter[Hashable]], size: int
) -> set[Hashable]:
    """So many of the groups, from the first one on along their rows; then from the next one."""
    place = {group: i for i, group in enumerate(free)}
    outside = {g: sum(n for o, n in beside[g].items() if o in place) for g in free}
    inside = dict.fromkeys(free, 0)
    near: list[tuple[int, int]] = []
    seeds, found = iter(free), set[Hashable]()
    while len(found) < size:
        group = free[heappop(near)[1]] if near else next(seeds)
        if group in found:
            continue
        found.add(group)
        for other, rows in beside[group].items():
            if other in place and other not in found:
                inside[other] += rows
                # What was pushed before says less, and comes later.
                heappush(near, (outside[other] - 2 * inside[other], place[other]))
    return found


def every_fourth(labels: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Every fourth row of each kind, at least one of a kind with two: to find a threshold on.

    >>> every_fourth(np.array([True, True, False, False, False])).tolist()
    [False, True, False, True, False]
    """
    held = [np.flatnonzero(kind)[1::4] for kind in (labels, ~labels)]
    return np.isin(np.arange(len(labels)), np.concatenate(held))
