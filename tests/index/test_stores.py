"""What every store promises, against brute force and against each other."""

from functools import partial

import numpy as np
import pytest
import torch
from qdrant_client import QdrantClient

from tokenry.errors import StoreError, UnknownNameError, UsageError
from tokenry.index.qdrant import QdrantStore
from tokenry.index.store import Shape
from tokenry.index.stores import STORES, open_store
from tokenry.ops.ragged import Ragged
from tokenry.ops.similarity import unit

SHAPE = Shape(8, 4)
NAMES = ["segments", "lance", "lance(ann=True)", "graph", "qdrant"]


def documents(lengths, seed=0):
    source = torch.Generator().manual_seed(seed)
    lists = [unit(torch.randn(n, 8, generator=source)).half() for n in lengths]
    return Ragged.of(lists, 8), torch.randn(len(lengths), 4, generator=source).half()


def asked(n, seed=7):
    return unit(torch.randn(n, 8, generator=torch.Generator().manual_seed(seed)))


@pytest.fixture(params=NAMES)
def opens(request, tmp_path):
    """Open the same store again and again: `opens()`, `opens(write=False)`."""
    name, folder = request.param, tmp_path / "store"
    opener = partial(open_store, name)
    if name == "qdrant":  # a client of its own forgets everything
        opener = partial(QdrantStore, client=QdrantClient(":memory:"))
    return lambda shape=SHAPE, write=True: opener(folder, shape, write=write)


@pytest.fixture
def store(opens):
    with opens() as store:
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


def assert_same(found, expected):
    assert found.keys.tolist() == expected.keys.tolist()
    np.testing.assert_allclose(found.scores, expected.scores, atol=4e-3)


def test_every_store_is_tested(tmp_path):
    assert STORES.keys() - {name.partition("(")[0] for name in NAMES} == set()
    with pytest.raises(UnknownNameError, match="nearest: lance"):
        open_store("lanse", tmp_path, SHAPE, write=False)


def test_the_ranking_is_that_of_brute_force(store):
    keys, tokens, _ = fill(store)
    query = asked(3)
    found = store.maxsim(query, 10)
    expected = brute(query, keys, tokens)
    assert found.keys.tolist() == [key for key, _ in expected]
    np.testing.assert_allclose(found.scores, [score for _, score in expected], atol=1e-3)
    assert store.maxsim(query, 2).keys.tolist() == [key for key, _ in expected[:2]]


def test_deleted_documents_are_gone_and_compaction_gives_their_space_back(store):
    _, tokens, pooled = fill(store)
    store.compact()
    store.delete(np.array([1, 4, 77]))
    query = asked(3)
    assert store.keys().tolist() == [2, 3, 5]
    assert set(store.maxsim(query, 10).keys) == {3, 5}
    before = store.size()
    store.compact()
    after = store.size()
    assert (after.documents, after.tokens) == (before.documents, before.tokens) == (3, 6)
    assert after.bytes < before.bytes or not before.bytes  # of a server nobody knows them
    assert torch.equal(store.gather(np.array([5, 2, 3])).values, tokens.take([4, 1, 2]).values)
    assert torch.equal(store.pooled(np.array([3, 4])), torch.stack([pooled[2], 0 * pooled[2]]))
    assert set(store.maxsim(query, 10).keys) == {3, 5}


def test_hits_are_the_nearest_tokens_of_all(store):
    keys, tokens, _ = fill(store)
    query = asked(3)
    found = store.hits(query, 4)
    near = query @ tokens.values.float().T
    np.testing.assert_allclose(found.similarities, near.topk(4, 1).values, atol=1e-3)
    assert found.keys.tolist() == (keys[tokens.owners[near.topk(4, 1).indices]]).tolist()
    every = store.hits(query, 99).ranking(10)
    mean = store.maxsim(query, 10)
    assert every.keys.tolist() == mean.keys.tolist()
    np.testing.assert_allclose(every.scores * 3, mean.scores, atol=4e-3)


@pytest.mark.parametrize("among", [[], [2], [3, 4], [1, 5, 99]])
def test_a_ranking_among_some(store, among):
    fill(store)
    query = asked(2)
    everything = store.maxsim(query, 10).keys.tolist()
    some = np.array(among, np.int64)
    assert store.maxsim(query, 10, some).keys.tolist() == [k for k in everything if k in among]
    assert set(store.hits(query, 3, some).keys.ravel()) <= {*among, -1} - {2, 99}
    near = store.nearest(torch.randn(4), 10, some)
    assert set(near.keys) == set(among) & set(store.keys())


def test_many_documents_that_come_change_and_go_rank_as_in_segments(opens, tmp_path):
    lengths = torch.randint(0, 12, (60,), generator=torch.Generator().manual_seed(1)).tolist()
    tokens, pooled = documents(lengths)
    with open_store("segments", tmp_path / "plain", SHAPE, write=True) as plain, opens() as store:
        for held in (plain, store):
            for start in range(0, 60, 20):
                part = list(range(start, start + 20))
                held.add(np.array(part) + 1, tokens.take(part), pooled[start : start + 20])
            held.commit()
            held.delete(np.array([3, 20, 21, 60]))
            held.commit()
            fill(held, (4, 6), first=61, seed=5)  # what took the place of two of them
    plain = open_store("segments", tmp_path / "plain", SHAPE, write=False)
    with plain, opens(write=False) as store:
        assert store.keys().tolist() == plain.keys().tolist()
        assert store.size().tokens == plain.size().tokens
        for seed in range(5):
            query, vector = asked(4, seed), torch.randn(4)
            assert_same(store.maxsim(query, 8), plain.maxsim(query, 8))
            assert_same(store.nearest(vector, 8), plain.nearest(vector, 8))
        blocks, others = list(store.scan(tokens=50)), list(plain.scan())
        held = np.concatenate([block.keys for block in blocks])
        assert held.tolist() == plain.keys().tolist()
        values = torch.cat([block.tokens.values for block in blocks])
        assert torch.equal(values, torch.cat([block.tokens.values for block in others]))


def test_an_empty_store_and_an_empty_query_find_nothing(store):
    empty = asked(0)
    assert len(store.maxsim(asked(2), 5)) == len(store.nearest(torch.randn(4), 5)) == 0
    assert store.keys().tolist() == []
    assert len(store.gather(np.array([1, 2])).values) == 0
    fill(store)
    assert len(store.maxsim(empty, 5)) == 0
    store.delete(store.keys())
    store.compact()
    assert (store.size().documents, store.size().tokens) == (0, 0)
    assert len(store.maxsim(asked(2), 5)) == 0


def test_what_does_not_fit_is_refused(opens):
    with pytest.raises(StoreError):
        opens(write=False)
    opens().close()
    with pytest.raises(UsageError, match=r"8 dimensions \(pooled: 4\), not 9 \(pooled: 4\)"):
        opens(Shape(9, 4))
    with opens() as store, pytest.raises(UsageError, match="encode both with one encoder"):
        store.maxsim(torch.randn(2, 9), 5)
