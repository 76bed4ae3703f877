"""Batches: every row in its turn, and groups that meet."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops.batches import by_group, rounds


@given(st.integers(2, 30), st.integers(2, 9), st.integers(0, 9))
def test_rounds_give_no_row_twice(count, size, seed):
    size = min(size, count)
    batches = list(islice(rounds(count, size, random.Random(seed)), 3 * (count // size)))
    assert all(len(set(batch)) == size for batch in batches)
    first = [row for batch in batches[: count // size] for row in batch]
    assert len(set(first)) == len(first)


@given(
    st.lists(st.integers(0, 6), min_size=4, max_size=40).filter(
        lambda groups: len(set(groups)) > 1 and max(Counter(groups).values()) > 1
    ),
    st.integers(2, 4),
    st.integers(0, 9),
)
def test_rows_meet_others_of_their_group(groups, per_group, seed):
    size = 4 * per_group - 2
    counts = Counter(groups)
    for batch in islice(by_group(groups, size, per_group, random.Random(seed)), 12):
        assert len(set(batch)) == len(batch)
        inside = Counter(groups[row] for row in batch)
        assert len(inside) > 1 or len(batch) >= 2 * per_group
        for group, count in inside.items():
            assert count >= min(per_group, counts[group])


def test_every_row_has_its_turn():
    groups = [i // 5 for i in range(60)]
    seen = Counter(
        row for batch in islice(by_group(groups, 8, 2, random.Random(0)), 400) for row in batch
    )
    assert len(seen) == 60
    assert max(seen.values()) < 1.3 * min(seen.values())


@pytest.mark.parametrize(
    ("groups", "size", "per_group", "message"),
    [
        ("aabb", 8, 1, "at least two rows"),
        ("aabb", 9, 3, "two of up to 5 fit"),
        ("aaaa", 8, 2, "1 groups of 4 rows"),
        ("abcd", 8, 2, "one of them has two rows"),
    ],
)
def test_refuses_what_teaches_nothing(groups, size, per_group, message):
    with pytest.raises(UsageError, match=message):
        next(by_group(groups, size, per_group, random.Random(0)))
