"""A few of many items meet every condition evenly."""

from collections import Counter
from itertools import product

import pytest

from tokenry.ops.sampling import balanced

ROWS = [
    {"length": length, "depth": depth, "repeat": repeat}
    for length, depth, repeat in product(range(12), range(11), range(5))
]


@pytest.mark.parametrize("n", [1, 7, 20, 60, 132, 264, 300])
@pytest.mark.parametrize("seed", [0, 1])
def test_values_and_their_combinations_are_met_evenly(n, seed):
    chosen = balanced(ROWS, n, seed)
    assert len(set(chosen)) == n
    assert chosen == sorted(chosen) == balanced(ROWS, n, seed)
    for names in (("length",), ("depth",), ("length", "depth")):
        every = Counter(tuple(row[name] for name in names) for row in ROWS)
        met = Counter(tuple(ROWS[i][name] for name in names) for i in chosen)
        counts = [met[value] for value in every]
        assert max(counts) - min(counts) <= 2


def test_the_seed_decides_between_equals():
    assert balanced(ROWS, 20, 0) != balanced(ROWS, 20, 1)


def test_all_when_there_are_no_more():
    assert balanced(ROWS[:7], 9) == list(range(7))


def test_groups_of_unequal_size_count_alike_while_they_last():
    rows = [{"task": "a"}] * 50 + [{"task": "b"}] * 10
    assert Counter(rows[i]["task"] for i in balanced(rows, 20)) == {"a": 10, "b": 10}
