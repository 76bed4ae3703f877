"""What every reducer of an index promises for any document."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from tokenry.method import TokensView
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
