"""The dial against brute force over a grid of sizes, schedules and limits."""

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops.budget import Budget, kept_count

SPREADS = ("constant", "linear", "ratio")
KEEPS = (1.0, 0.9, 0.75, 0.6, 0.5, 0.35, 0.25, 0.1, 0.02)
BUDGETS = [
    Budget(n, p, depth, layers, middle, max_drop)
    for n, p, depth, middle, max_drop in itertools.product(
        (7, 65, 257), (0, 1, 5), (1, 12), (True, False), (1.0, 0.5)
    )
    for layers in {tuple(range(depth)), (depth // 2,), tuple(range(0, depth, 3))}
]


def share_by_loops(counts, tokens, depth, middle):
    """Rows through every attention and every MLP, one at a time, over all that could have been."""
    attention = mlp = 0
    rows = tokens
    for after in counts:
        attention += rows if middle else after
        rows = after
        mlp += rows
    return Fraction(attention + mlp, 2 * depth * tokens)


def lowest(budget):
    """Counts when every layer removes as much as it may."""
    free, counts = budget.tokens - budget.protected, []
    for layer in range(budget.depth):
        if layer in budget.layers:
            free = max(free - math.floor(free * budget.max_drop), 1)
        counts.append(free + budget.protected)
    return counts


def check_legal(budget, counts):
    """What no schedule may break."""
    assert len(counts) == budget.depth
    before = budget.tokens
    for layer, after in enumerate(counts):
        removed = before - after
        assert 0 <= removed <= (before - budget.protected) * budget.max_drop
        assert removed == 0 or layer in budget.layers
        assert after >= budget.protected + 1
        before = after


@pytest.mark.parametrize(
    ("n", "keep", "expected"),
    [
        *[(1, 1.0, 1), (1, 0.01, 1), (10, 1.0, 10), (10, 0.05, 1), (10, 0.14, 1), (10, 0.15, 2)],
        *[(10, 0.449, 4), (10, 0.45, 5), (7, 0.5, 4), (3, 0.5, 2), (257, 0.5, 129)],
        *[(100, 0.29, 29), (1_000_000, 1e-9, 1), (1_000_000, 0.999_999_9, 1_000_000)],
    ],
)
def test_kept_count_at_the_edges(n, keep, expected):
    assert kept_count(n, keep) == expected


@settings(deadline=None)
@given(st.integers(1, 5000), st.floats(0, 1, exclude_min=True), st.floats(0, 1, exclude_min=True))
def test_kept_count_is_nearest_monotone_and_in_range(n, keep, other):
    count = kept_count(n, keep)
    assert 1 <= count <= n
    assert abs(count - n * keep) <= 0.5 + 1e-9 or count == 1
    assert kept_count(n, min(keep, other)) <= kept_count(n, max(keep, other))
    assert kept_count(n, 1.0) == n


@settings(deadline=None)
@given(st.integers(2, 300), st.lists(st.floats(0, 1), min_size=1, max_size=12), st.booleans())
def test_share_equals_the_sum_over_layers(n, shares, middle):
    counts = sorted((max(1, round(n * share)) for share in shares), reverse=True)
    budget = Budget(n, 0, len(counts), tuple(range(len(counts))), middle)
    exact = share_by_loops(counts, n, len(counts), middle)
    assert budget.share(counts) == pytest.approx(float(exact), abs=1e-12)
    assert budget.share(counts, of=2 * n) == pytest.approx(float(exact) / 2, abs=1e-12)


@pytest.mark.parametrize("spread", SPREADS)
def test_counts_keep_the_share_that_was_asked_for(spread):
    """Within one row in `tokens`, wherever the removal can reach it; an error where it cannot."""
    reached = refused = 0
    for budget, keep in itertools.product(BUDGETS, KEEPS):
        n = budget.tokens
        least = share_by_loops(lowest(budget), n, budget.depth, budget.middle)
        missed = float(least) - keep - 1 / n
        if abs(missed) < 1e-9:
            continue  # either answer is right
        if missed > 0:
            with pytest.raises(UsageError):
                budget.counts(keep, spread)
            refused += 1
            continue
        counts = budget.counts(keep, spread)
        check_legal(budget, counts)
        share = share_by_loops(counts, n, budget.depth, budget.middle)
        assert abs(share - max(keep, least)) <= Fraction(1, n), (budget, keep, counts)
        reached += 1
    assert reached > 300
    assert refused > 300


@pytest.mark.parametrize("spread", SPREADS)
def test_keep_one_removes_nothing(spread):
    for budget in BUDGETS:
        assert budget.counts(1.0, spread) == (budget.tokens,) * budget.depth


@pytest.mark.parametrize("spread", SPREADS)
def test_less_keep_never_means_more_rows(spread):
    budget = Budget(197, 1, 12, tuple(range(12)), True, 0.5)
    shares = [budget.share(budget.counts(keep / 100, spread)) for keep in range(100, 20, -1)]
    assert shares == sorted(shares, reverse=True)


def removals(budget, keep, spread):
    counts = (budget.tokens, *budget.counts(keep, spread))
    return [before - after for before, after in itertools.pairwise(counts)]


@pytest.mark.parametrize("keep", [0.9, 0.75, 0.6])
def test_constant_removes_the_same_number_in_each_layer(keep):
    removed = removals(Budget(1370, 1, 12, tuple(range(12)), True, 0.5), keep, "constant")
    assert max(removed) - min(removed) <= 1
    assert min(removed) > 0


@pytest.mark.parametrize(("depth", "keep"), [(2, 0.7), (6, 0.75), (12, 0.8), (12, 0.6)])
def test_linear_falls_from_twice_the_mean_to_none(depth, keep):
    """ToMe's decreasing schedule: layer i of L removes 2 r (L-1-i) / (L-1), the mean being r."""
    removed = removals(Budget(1370, 1, depth, tuple(range(depth)), True, 1.0), keep, "linear")
    mean = sum(removed) / depth
    for i, got in enumerate(removed):
        assert got == pytest.approx(2 * mean * (depth - 1 - i) / (depth - 1), abs=1.5)
    assert removed[-1] == 0


@pytest.mark.parametrize("keep", [0.9, 0.75, 0.5])
def test_ratio_removes_the_same_share_in_each_layer(keep):
    budget = Budget(1370, 1, 12, tuple(range(12)), True, 0.5)
    rows = [1369, *(count - 1 for count in budget.counts(keep, "ratio"))]
    share = (rows[-1] / rows[0]) ** (1 / 12)
    for i, left in enumerate(rows):
        assert left == pytest.approx(1369 * share**i, abs=1.5)


def test_linear_in_one_layer_removes_there():
    budget = Budget(101, 1, 4, (0,), False)
    assert budget.counts(0.5, "linear") == budget.counts(0.5, "constant")


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((8, 8, 8, 8), (57, 49, 41, 33)),
        ((8, 0, 3), (57, 57, 54, 54)),  # a short list is padded with 0
        ((), (65, 65, 65, 65)),
        ((40, 40, 40, 40), (33, 17, 9, 5)),  # never more than half of the 64, 32, 16, 8
        ((0, 0, 0, 1), (65, 65, 65, 64)),
    ],
)
def test_a_list_removes_exactly_its_numbers(numbers, expected):
    budget = Budget(65, 1, 4, (0, 1, 2, 3), True, 0.5)
    assert budget.counts(1.0, numbers) == expected


def test_a_list_counts_the_layers_that_reduce():
    budget = Budget(20, 1, 5, (1, 4), False)
    assert budget.counts(1.0, (3, 5)) == (20, 17, 17, 17, 12)


def test_a_list_leaves_one_row_beside_the_protected():
    budget = Budget(9, 2, 2, (0, 1), False)
    assert budget.counts(1.0, (100, 100)) == (3, 3)


@settings(deadline=None)
@given(
    st.integers(2, 300),
    st.integers(0, 5),
    st.lists(st.integers(0, 400), max_size=12),
    st.sampled_from([0.5, 1.0]),
)
def test_any_list_is_legal(n, protected, numbers, max_drop):
    budget = Budget(n + protected, protected, 12, tuple(range(12)), True, max_drop)
    counts = budget.counts(1.0, tuple(numbers))
    check_legal(budget, counts)
    before = budget.tokens
    for asked, after in itertools.zip_longest(numbers, counts, fillvalue=0):
        most = min(math.floor((before - protected) * max_drop), before - protected - 1)
        assert before - after == min(asked, most)
        before = after


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize(
    ("n", "protected", "max_drop"), [(65, 1, 0.5), (257, 5, 0.5), (65, 50, 1.0)]
)
def test_an_unreachable_keep_names_the_lowest(spread, n, protected, max_drop):
    budget = Budget(n, protected, 12, tuple(range(12)), True, max_drop)
    with pytest.raises(UsageError, match=r"^Mine: keep=0\.01 cannot be reached") as caught:
        budget.counts(0.01, spread, "Mine")
    named = float(str(caught.value).rsplit(" ", 1)[1].rstrip("."))
    least = float(share_by_loops(lowest(budget), n, 12, True))
    assert least <= named <= least + 0.001
    assert budget.share(budget.counts(named, spread)) == pytest.approx(named, abs=1 / n)


def test_a_schedule_longer_than_the_layers_is_refused():
    budget = Budget(tokens=65, protected=1, depth=4, layers=(0, 1), middle=True)
    with pytest.raises(UsageError, match="Mine: schedule has 3 numbers"):
        budget.counts(1.0, (1, 2, 3), "Mine")
