"""Token pooling: by brute force, against a peer, and what is claimed for it on manual pages."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch.nn.functional import normalize

from tokenry.compare.stats import mean_interval, resampled_means
from tokenry.method import TokensView
from tokenry.ops.grouping import group_means
from tokenry.retrieval import RandomTokens, TokenPooling, TokenPruning


def rows(n, d=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(n, d, generator=generator), dim=1)


def view(n, count):
    words = torch.arange(n) % 5
    return TokensView(count, words, (words.float() + 1) / 10, 0)


def by_hand(x, count):
    """Ward's method by the update of Lance and Williams on cosine distances, pair by pair."""
    clusters = {i: [i] for i in range(len(x))}
    apart = {frozenset(p): float(1 - x[p[0]] @ x[p[1]]) for p in combinations(range(len(x)), 2)}
    following = len(x)
    while len(clusters) > count:
        a, b = min(combinations(clusters, 2), key=lambda pair: apart[frozenset(pair)])
        na, nb, joined = len(clusters[a]), len(clusters[b]), apart[frozenset((a, b))]
        for c in clusters.keys() - {a, b}:
            n = len(clusters[c])
            da, db = apart[frozenset((a, c))] ** 2, apart[frozenset((b, c))] ** 2
            squared = ((na + n) * da + (nb + n) * db - n * joined**2) / (na + nb + n)
            apart[frozenset((following, c))] = squared**0.5
        clusters[following] = clusters.pop(a) + clusters.pop(b)
        following += 1
    return {frozenset(members) for members in clusters.values()}


def partition(groups):
    return {
        frozenset((groups == g).nonzero().flatten().tolist()) for g in groups.unique() if g >= 0
    }


@pytest.mark.parametrize("count", [1, 3, 7, 11])
def test_pooling_is_wards_method(count):
    x = rows(12, seed=count)
    assert partition(TokenPooling().group(x, view(12, count))) == by_hand(x.double(), count)


@pytest.mark.parametrize("protected", [0, 1])
def test_pooling_equals_sentence_transformers(protected):
    modules = pytest.importorskip("sentence_transformers.multi_vector_encoder.modules")
    x = rows(24, seed=7)
    peer = modules.HierarchicalTokenPooling(2.0, num_protected_tokens=protected)
    expected = peer.pool_one(x)
    method = TokenPooling(protected=protected)
    got = group_means(x, method.group(x, view(24, len(expected))))
    order = [int((got @ row).argmax()) for row in expected]
    assert sorted(order) == list(range(len(expected)))
    assert torch.allclose(got[order], expected, atol=1e-5)


@pytest.mark.slow
def test_half_the_tokens_pooled_lose_nothing(page_scores):
    apart = page_scores(TokenPooling(keep=0.5)) - page_scores(None)
    half = mean_interval(apart, resampled_means(apart[None], 0)[0])
    assert half.value > -0.005
    assert half.low > -0.02


@pytest.mark.slow
def test_a_quarter_pooled_keeps_95_percent_and_beats_dropping(page_scores):
    whole, pooled = page_scores(None).mean(), page_scores(TokenPooling(keep=0.25)).mean()
    assert pooled > 0.95 * whole
    for method in (TokenPruning(keep=0.25), RandomTokens(keep=0.25)):
        assert pooled > page_scores(method).mean()
