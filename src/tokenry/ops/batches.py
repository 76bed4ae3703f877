"""Which rows of a training set come in which batch."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterator, Sequence

from tokenry.errors import UsageError


def rounds(count: int, batch_size: int, draw: random.Random) -> Iterator[list[int]]:
    """Rows of each step, no row twice in one; what is left over of a round is skipped.

    >>> batches = rounds(5, 2, random.Random(0))
    >>> sorted([*next(batches), *next(batches)])
    [0, 1, 3, 4]
    """
    while True:
        order = draw.sample(range(count), count)
        for start in range(0, count - batch_size + 1, batch_size):
            yield order[start : start + batch_size]


def by_group(
    groups: Sequence[Hashable], batch_size: int, per_group: int, draw: random.Random
) -> Iterator[list[int]]:
    """Batches in which rows meet others of their group.

    In each round the rows of a group are dealt into bunches of `per_group`, or up to twice as many
    but one where the number does not divide; a group of fewer is one bunch. Batches are
    filled with whole bunches up to `batch_size`. Every row comes once before any comes again, but
    for a bunch that is left over at the end of a round.

    Args:
        groups: Of each row.
        batch_size: Most rows of a batch.
        per_group: Rows of a bunch, at least two.
        draw: What the order is drawn by.

    Raises:
        UsageError: If two bunches do not fit into a batch, all rows are one group, or no group has
            two rows.

    >>> batches = by_group("aabbc", 6, 2, random.Random(0))
    >>> sorted(next(batches))
    [0, 1, 2, 3, 4]
    """
    if per_group < 2 or 2 * (2 * per_group - 1) > batch_size:
        raise UsageError(
            f"by_group: per_group={per_group} with batches of {batch_size}; a bunch has at least "
            f"two rows, and two of up to {2 * per_group - 1} fit into a batch."
        )
    members: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    if len(members) < 2 or all(len(rows) < 2 for rows in members.values()):
        raise UsageError(
            f"by_group: {len(members)} groups of {len(groups)} rows; there are at least two "
            "groups, and one of them has two rows."
        )
    while True:
        bunches = [bunch for rows in members.values() for bunch in _dealt(rows, per_group, draw)]
        draw.shuffle(bunches)
        yield from _filled(bunches, batch_size)


def _dealt(rows: list[int], size: int, draw: random.Random) -> list[list[int]]:
    mixed = draw.sample(rows, len(rows))
    number = max(1, len(rows) // size)
    return [mixed[i::number] for i in range(number)]


def _filled(bunches: list[list[int]], batch_size: int) -> Iterator[list[int]]:
    batch: list[int] = []
    several = False
    for bunch in bunches:
        if len(batch) + len(bunch) > batch_size:
            yield batch
            batch = []
        several = bool(batch)
        batch = batch + bunch
    if several:
        yield batch
