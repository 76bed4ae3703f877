"""Bipartite matching against loops over all pairs."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tokenry.ops.match import best_match, first_ranked, merge_best, merge_into
from tokenry.ops.similarity import unit

MANY = settings(deadline=None, max_examples=40)


def merged_by_loops(metric, a, b, r):
    """Which rows go into which, from the definition: all pairs, best first, ties by position."""
    plans = []
    for image in range(len(metric)):
        pairs = []
        for position, i in enumerate(a[image]):
            best, partner = -np.inf, None
            for j in b[image]:
                score = sum(metric[image, i, c] * metric[image, j, c] for c in range(2))
                if score > best:
                    best, partner = score, j
            pairs.append((-best, position, i, partner))
        plans.append([(i, j) for _, _, i, j in sorted(pairs, key=lambda pair: pair[:2])[:r]])
    return plans


def merges(plan):
    """The pairs of a plan in old row numbers, in the order in which it lists them."""
    into = plan.keep.gather(1, plan.target)
    return [
        list(zip(s, t, strict=True))
        for s, t in zip(plan.source.tolist(), into.tolist(), strict=True)
    ]


def split(rng, b, n):
    rows = np.stack([rng.permutation(n) for _ in range(b)])
    p = rng.integers(1, n)
    return rows[:, :p], rows[:, p:]


@MANY
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(2, 11), st.data())
def test_merge_best_equals_loops(seed, b, n, data):
    """Rows on a grid of exact numbers, so that ties are common and exact."""
    rng = np.random.default_rng(seed)
    metric = rng.integers(-2, 3, (b, n, 2)).astype(np.float32)
    a, others = split(rng, b, n)
    r = data.draw(st.integers(0, a.shape[1]))
    plan = merge_best(torch.as_tensor(metric), torch.as_tensor(a), torch.as_tensor(others), r)
    assert merges(plan) == merged_by_loops(metric, a, others, r)
    for image in range(b):
        gone = set(plan.source[image].tolist())
        assert plan.keep[image].tolist() == [row for row in range(n) if row not in gone]


@MANY
@given(st.integers(0, 10_000), st.integers(3, 11), st.integers(1, 4), st.data())
def test_padding_changes_nothing(seed, n, extra, data):
    """An image with padding behind it merges as it does alone, while it has rows to merge."""
    rng = np.random.default_rng(seed)
    metric = torch.as_tensor(rng.integers(-2, 3, (1, n, 2)).astype(np.float32))
    a, others = (torch.as_tensor(part) for part in split(rng, 1, n))
    r = data.draw(st.integers(0, a.shape[1]))
    alone = merge_best(metric, a, others, r)
    noise = torch.as_tensor(rng.integers(-9, 10, (1, 2 * extra, 2)).astype(np.float32))
    valid = torch.arange(n + 2 * extra)[None] < n
    fill = torch.arange(n, n + 2 * extra)[None]
    padded = merge_best(
        torch.cat([metric, noise], 1),
        torch.cat([a, fill[:, :extra]], 1),
        torch.cat([others, fill[:, extra:]], 1),
        r,
        valid,
    )
    assert merges(padded) == merges(alone)


@MANY
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6))
def test_best_match_equals_loops(seed, p, q):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, p, 3)), rng.normal(size=(2, q, 3))
    blocked = rng.random((2, q)) < 0.3
    assume(not blocked.all(1).any())
    scores = np.einsum("bpd,bqd->bpq", a, b)
    values, places = best_match(*(torch.as_tensor(x) for x in (a, b, blocked)))
    for image, i in np.ndindex(2, p):
        free = [j for j in range(q) if not blocked[image, j]]
        best = max(free, key=lambda j: scores[image, i, j])
        assert places[image, i] == best
        assert values[image, i].item() == pytest.approx(scores[image, i, best])


def test_ties_go_to_the_first():
    """Four equal rows: each finds the first of the others, and the first of them go."""
    metric = torch.ones(1, 6, 2)
    plan = merge_best(metric, torch.tensor([[0, 2, 4]]), torch.tensor([[1, 3, 5]]), 2)
    assert merges(plan) == [[(0, 1), (2, 1)]]


def test_padding_goes_before_a_row_that_has_no_partner():
    metric = torch.ones(1, 4, 2)
    valid = torch.tensor([[True, False, False, False]])
    plan = merge_best(metric, torch.tensor([[0, 2]]), torch.tensor([[1, 3]]), 1, valid)
    assert plan.keep.tolist() == [[0, 1, 3]]


@pytest.mark.parametrize("n", [5, 100, 5000])
def test_ranking_is_stable(n):
    score = torch.arange(n).remainder(3).float()[None]
    order = first_ranked(score)[0].tolist()
    assert order == sorted(range(n), key=lambda i: (-(i % 3), i))


def test_each_image_merges_on_its_own():
    metric = torch.randn(3, 9, 4, generator=torch.Generator().manual_seed(0))
    a = torch.arange(0, 9, 2).expand(3, -1)
    b = torch.arange(1, 9, 2).expand(3, -1)
    together = merges(merge_best(metric, a, b, 3))
    alone = [merges(merge_best(metric[i : i + 1], a[:1], b[:1], 3))[0] for i in range(3)]
    assert together == alone


@MANY
@given(st.integers(0, 10_000), st.integers(2, 9), st.data())
def test_merge_into_lists_every_row_once(seed, n, data):
    rng = np.random.default_rng(seed)
    r = data.draw(st.integers(0, n - 1))
    rows = np.stack([rng.permutation(n) for _ in range(2)])
    into = np.stack([rng.choice(row[r:], r) for row in rows]).astype(np.int64)
    plan = merge_into(n, torch.as_tensor(rows[:, :r]), torch.as_tensor(into))
    for image in range(2):
        assert plan.keep[image].tolist() == sorted(rows[image, r:].tolist())
        assert plan.source[image].tolist() == rows[image, :r].tolist()
        assert plan.keep[image][plan.target[image]].tolist() == into[image].tolist()


def test_unit_rows_have_length_one_and_zero_stays_zero():
    x = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]], dtype=torch.bfloat16)
    assert unit(x).tolist() == [[[pytest.approx(0.6), pytest.approx(0.8)], [0.0, 0.0]]]
    assert unit(x).dtype == torch.float32
