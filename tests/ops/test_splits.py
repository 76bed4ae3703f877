"""Parts of a table that share no group, and lose few of the rows that join two groups."""

from __future__ import annotations

import random

import pytest

from tokenry.ops.splits import by_group


def lost(parts, rows):
    return sum(parts[one] != parts[other] for one, other in rows) / len(rows)


@pytest.mark.parametrize("seed", range(3))
def test_parts_have_their_sizes_and_grow_along_the_rows(seed):
    draw = random.Random(seed)
    # As labelled pairs come: each left thing with some candidates that are like it.
    rows = [(i, (i + draw.randrange(1, 6)) % 300) for i in range(300) for _ in range(2)]
    grown = by_group(range(300), 0.2, random.Random(seed), rows)
    drawn = by_group(range(300), 0.2, random.Random(seed))
    for parts in (grown, drawn):
        sizes = [[*parts.values()].count(name) for name in ("train", "validation", "test")]
        assert sizes == [240, 30, 30]
    assert lost(grown, rows) < 0.08 < 0.2 < lost(drawn, rows)
    assert grown == by_group(range(300), 0.2, random.Random(seed), rows)


def test_what_nothing_joins_is_drawn():
    rows = [(i, i) for i in range(50)]
    assert by_group(range(50), 0.4, random.Random(1), rows) == by_group(
        range(50), 0.4, random.Random(1)
    )


def test_small_groups_of_groups_stay_whole():
    rows = [(i, i + 1) for i in range(0, 100, 2)]
    parts = by_group(range(100), 0.2, random.Random(0), rows)
    assert lost(parts, rows) == 0
