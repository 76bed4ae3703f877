"""Precision inside and outside the main clusters, against loops and a head built for it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops.keyspace import in_main_clusters, spurious_correlation

MANY = settings(deadline=None, max_examples=60)


@MANY
@given(st.data())
def test_figures_equal_loops(data):
    labels = data.draw(st.lists(st.integers(0, 5), min_size=4, max_size=24))
    ranking = data.draw(st.permutations(range(len(labels))))
    top = data.draw(st.integers(1, len(labels) - 1))
    right = data.draw(st.lists(st.booleans(), min_size=len(labels), max_size=len(labels)))
    heads = {labels[token] for token in ranking[:top]}
    kinds = {True: [], False: []}
    for rank, token in enumerate(ranking, 1):
        if rank > top:
            kinds[labels[token] in heads].append((right[token], rank))
    main = in_main_clusters(ranking, torch.tensor(labels), top)
    correct = torch.tensor([right[token] for token in ranking[top:]])
    found = spurious_correlation(main, correct, top)
    for got, expected in ((found.main, kinds[True]), (found.other, kinds[False])):
        assert got.count == len(expected)
        if expected:
            assert got.precision == pytest.approx(sum(r for r, _ in expected) / len(expected))
            assert got.mean_rank == pytest.approx(sum(k for _, k in expected) / len(expected))
        else:
            assert math.isnan(got.precision)
            assert math.isnan(got.mean_rank)
    assert found.share == pytest.approx(len(kinds[True]) / sum(map(len, kinds.values())))


def built_head(seed):
    """Keys of 20 clusters of 25 tokens, a query near the first mean, and which tokens are right.

    A key is its cluster's mean, one of 20 axes, plus 0.9 of a last axis where the token is right
    (every fifth is), plus a little noise. The query is 1 along the first mean and the last axis:
    right tokens of the first cluster score 1.9 (5 of them), wrong ones 1 (20), right tokens
    elsewhere 0.9 (95), all others 0.
    """
    source = torch.Generator().manual_seed(seed)
    labels = torch.arange(20).repeat_interleave(25)
    right = torch.arange(500) % 5 == 0
    keys = torch.cat([torch.eye(20)[labels], 0.9 * right[:, None]], 1)
    keys += 0.01 * torch.randn(keys.shape, generator=source)
    query = torch.zeros(21)
    query[[0, -1]] = 1
    return keys, query, labels, right


@pytest.mark.parametrize("seed", range(5))
def test_a_built_head_has_the_effect_in_closed_form(seed):
    keys, query, labels, right = built_head(seed)
    ranking = (keys @ query).argsort(descending=True)[:100]
    found = spurious_correlation(in_main_clusters(ranking, labels, 5), right[ranking][5:], 5)
    # Ranks 6 to 25 are wrong tokens of the main cluster, 26 to 100 right ones of the others.
    assert (found.main.count, found.main.precision, found.main.mean_rank) == (20, 0.0, 15.5)
    assert (found.other.count, found.other.precision, found.other.mean_rank) == (75, 1.0, 63.0)
    assert found.share == pytest.approx(20 / 95)
    assert found.gap == 1


def test_shuffled_clusters_have_no_gap():
    keys, query, labels, right = built_head(0)
    ranking = (keys @ query).argsort(descending=True)[:100]
    source = torch.Generator().manual_seed(0)
    gaps = []
    for _ in range(200):
        shuffled = labels[torch.randperm(500, generator=source)]
        main = in_main_clusters(ranking, shuffled, 5)
        gaps.append(spurious_correlation(main, right[ranking][5:], 5).gap)
    # The mean of 200 gaps, each with a standard deviation of about 0.1.
    assert abs(torch.tensor(gaps).mean()) < 0.04


def test_lengths_that_differ_are_refused(untyped):
    for main, correct in ((0, 0), (3, 2)):
        with pytest.raises(UsageError, match=f"{main} tokens and {correct} judgements"):
            spurious_correlation(torch.ones(main) > 0, torch.ones(correct) > 0, 5)
