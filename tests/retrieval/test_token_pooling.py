"""Reducers of an index: by brute force, against a peer, and what they promise for any document."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from tokenry.method import TokensView
from tokenry.ops.grouping import group_means
from tokenry.retrieval import RandomTokens, TokenPooling, TokenPruning

REDUCERS = (
    TokenPooling(),
    TokenPooling(protected=2),
    TokenPruning(),
    TokenPruning(by="rare"),
    RandomTokens(seed=3),
)


def rows(n, d=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(n, d, generator=generator), dim=1)


def view(n, count, document=0):
    words = torch.arange(n) % 5
    return TokensView(count, words, (words.float() + 1) / 10, document)


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


def test_pruning_keeps_first_or_rarest():
    x = rows(10)
    assert TokenPruning().group(x, view(10, 4)).tolist() == [0, 1, 2, 3] + [-1] * 6
    # Words 0 and 1 are in the fewest documents: tokens 0, 5, 1, 6, in this order.
    rarest = TokenPruning(by="rare").group(x, view(10, 3)).tolist()
    assert [i for i, g in enumerate(rarest) if g >= 0] == [0, 1, 5]


def test_random_tokens_differ_by_document_and_seed_only():
    x = rows(40)
    one = RandomTokens().group(x, view(40, 10, 1))
    assert torch.equal(one, RandomTokens().group(-x, view(40, 10, 1)))
    assert not torch.equal(one, RandomTokens().group(x, view(40, 10, 2)))
    assert not torch.equal(one, RandomTokens(seed=1).group(x, view(40, 10, 1)))


@pytest.mark.parametrize("method", REDUCERS, ids=lambda m: m.describe())
@settings(max_examples=20, deadline=None)
@given(st.integers(2, 30), st.data())
def test_every_group_is_filled_and_in_reading_order(method, n, data):
    count = data.draw(st.integers(1, n - 1))
    alike = data.draw(st.booleans())
    x = rows(1).expand(n, -1) if alike else rows(n, seed=n)
    groups = method.group(x, view(n, count))
    kept = groups[groups >= 0]
    assert groups.shape == (n,)
    assert sorted(set(kept.tolist())) == list(range(count))
    firsts = [int((groups == g).nonzero()[0]) for g in range(count)]
    assert firsts == sorted(firsts)
