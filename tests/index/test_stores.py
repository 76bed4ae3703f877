"""What every exact store promises, against brute force."""

import numpy as np
import pytest
import torch

from tokenry.index.store import Shape
from tokenry.index.stores import STORES, open_store
from tokenry.ops.ragged import Ragged

SHAPE = Shape(8, 4)


def documents(lengths, seed=0):
    source = torch.Generator().manual_seed(seed)
    lists = [torch.randn(n, 8, generator=source).half() for n in lengths]
    return Ragged.of(lists, 8), torch.randn(len(lengths), 4, generator=source).half()


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    with open_store(request.param, tmp_path / "store", SHAPE, write=True) as store:
        yield store


def fill(store, lengths=(3, 0, 1, 9, 5), first=1, seed=0):
    tokens, pooled = documents(lengths, seed)
    keys = np.arange(first, first + len(lengths))
    store.add(keys, tokens, pooled)
    store.commit()
    return keys, tokens, pooled


def brute(query, keys, tokens):
    scores = {}
    for key, rows in zip(keys, tokens, strict=True):
        if len(rows):
            scores[int(key)] = float((query @ rows.float().T).amax(1).sum())
    return sorted(scores.items(), key=lambda pair: -pair[1])


def test_the_ranking_is_that_of_brute_force(store):
    keys, tokens, _ = fill(store)
    query = torch.randn(3, 8)
    found = store.maxsim(query, 10)
    expected = brute(query, keys, tokens)
    assert found.keys.tolist() == [key for key, _ in expected]
    np.testing.assert_allclose(found.scores, [score for _, score in expected], rtol=1e-3)
    assert store.maxsim(query, 2).keys.tolist() == [key for key, _ in expected[:2]]


def test_deleted_documents_are_gone_and_compaction_gives_their_space_back(store):
    _, tokens, pooled = fill(store)
    store.delete(np.array([1, 4, 77]))
    query = torch.randn(3, 8)
    assert store.keys().tolist() == [2, 3, 5]
    assert set(store.maxsim(query, 10).keys) == {3, 5}
    before = store.size()
    store.compact()
    assert (store.size().documents, store.size().tokens) == (before.documents, before.tokens)
    assert torch.equal(store.gather(np.array([5, 2, 3])).values, tokens.take([4, 1, 2]).values)
    assert torch.equal(store.pooled(np.array([3, 4])), torch.stack([pooled[2], 0 * pooled[2]]))


def test_hits_are_the_nearest_tokens_of_all(store):
    keys, tokens, _ = fill(store)
    query = torch.randn(3, 8)
    found = store.hits(query, 4)
    near = query @ tokens.values.float().T
    np.testing.assert_allclose(found.similarities, near.topk(4, 1).values, rtol=1e-5)
    assert found.keys.tolist() == (keys[tokens.owners[near.topk(4, 1).indices]]).tolist()
    every = store.hits(query, 99).ranking(10)
    mean = store.maxsim(query, 10)
    assert every.keys.tolist() == mean.keys.tolist()
    np.testing.assert_allclose(every.scores * 3, mean.scores, rtol=1e-5)


@pytest.mark.parametrize("among", [[], [2], [3, 4], [1, 5, 99]])
def test_a_ranking_among_some(store, among):
    fill(store)
    query = torch.randn(2, 8)
    everything = store.maxsim(query, 10).keys.tolist()
    some = np.array(among, np.int64)
    assert store.maxsim(query, 10, some).keys.tolist() == [k for k in everything if k in among]
    near = store.nearest(torch.randn(4), 10, some)
    assert set(near.keys) == set(among) & set(store.keys())
