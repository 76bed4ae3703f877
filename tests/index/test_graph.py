"""Exact segments with a graph over tokens beside them."""

import sys
from contextlib import ExitStack

import numpy as np
import pytest
import torch

from tokenry.errors import MissingExtraError, StoreError, UsageError
from tokenry.index import graph
from tokenry.index.graph import MANIFEST, GraphStore
from tokenry.index.segments import SegmentStore
from tokenry.index.store import Shape
from tokenry.ops.ragged import Ragged
from tokenry.ops.similarity import unit

SHAPE = Shape(32)


def clustered(documents=150, tokens=20, seed=0):
    """Documents whose tokens lie around a few of 100 directions, and queries like them."""
    source = torch.Generator().manual_seed(seed)
    centres = torch.randn(100, 32, generator=source)
    chosen = torch.randint(0, 100, (documents, 4), generator=source)
    lists = [
        unit(centres[row].repeat(tokens // 4, 1) + 0.5 * torch.randn(tokens, 32, generator=source))
        for row in chosen
    ]
    noise = 0.5 * torch.randn(documents, 4, 32, generator=source)
    return Ragged.of([one.half() for one in lists]), unit(centres[chosen] + noise)


@pytest.fixture
def opened():
    """Open stores that are closed after the test."""
    with ExitStack() as stack:
        yield lambda cls, *args, **more: stack.enter_context(cls(*args, **more))


def filled(opened, folder, documents=150):
    tokens, queries = clustered()
    store = opened(GraphStore, folder, SHAPE, write=True, near=100)
    some = range(documents)
    store.add(np.arange(documents) + 1, tokens.take(some))
    store.commit()
    return store, tokens, queries


def test_the_graph_finds_what_a_scan_finds(opened, tmp_path):
    store, tokens, queries = filled(opened, tmp_path / "a")
    assert not (tmp_path / "a" / MANIFEST).exists()  # so little is scanned
    plain = opened(SegmentStore, tmp_path / "b", SHAPE, write=True)
    plain.add(store.keys(), tokens)
    store.compact()
    assert len(list((tmp_path / "a").glob("graph-*.usearch"))) == 1
    shared, first = [], []
    for query in queries[:40]:
        mine, exact = store.maxsim(query, 10), plain.maxsim(query, 10)
        shared.append(len(np.intersect1d(mine.keys, exact.keys)) / 10)
        first.append(mine.keys[0] == exact.keys[0])
        np.testing.assert_allclose(mine.scores[0], exact.scores[0], atol=0.3)
        imputed = store.hits(query, 200).ranking(10)
        assert len(np.intersect1d(imputed.keys, exact.keys)) >= 6
    print(f"overlap {np.mean(shared):.3f}, the same first document {np.mean(first):.3f}")
    assert np.mean(shared) >= 0.9
    assert np.mean(first) >= 0.95


def test_hits_have_the_precision_of_the_graph(opened, tmp_path):
    store, _, queries = filled(opened, tmp_path / "a")
    exact = store.hits(queries[0], 10)
    store.compact()
    found = store.hits(3 * queries[0], 10)
    np.testing.assert_allclose(found.similarities, 3 * exact.similarities, atol=0.1)


def test_what_came_after_the_graph_is_found_and_what_went_is_not(opened, tmp_path):
    store, tokens, queries = filled(opened, tmp_path / "a", documents=149)
    store.compact()
    store.add(np.array([150]), tokens.take([149]))
    best = store.maxsim(queries[0], 1).keys
    store.delete(np.append(best, 7))
    store.commit()
    assert 150 in store.hits(queries[149], 5).keys
    assert store.maxsim(queries[149], 1).keys.tolist() == [150]
    for query in queries[:20]:
        assert not {7, *best} & {*store.hits(query, 60).keys.ravel()}
    store.close()
    with GraphStore(tmp_path / "a", SHAPE, write=False) as again:
        assert again.maxsim(queries[149], 1).keys.tolist() == [150]


def test_a_commit_takes_in_what_is_too_much_to_scan(tmp_path, monkeypatch):
    monkeypatch.setattr(graph, "TAIL", 1000)
    tokens, queries = clustered()
    with GraphStore(tmp_path / "a", SHAPE, write=True) as store:
        for start in range(0, 150, 30):
            store.add(np.arange(start, start + 30) + 1, tokens.take(range(start, start + 30)))
            store.commit()
        assert len(store._graph) >= 2000  # joined, not all anew
        assert [path.name for path in (tmp_path / "a").glob("graph-*")] == ["graph-2.usearch"]
        assert store.maxsim(queries[0], 1).keys.tolist() == [1]
        assert store.maxsim(queries[140], 1).keys.tolist() == [141]


def test_a_lost_graph_is_said_and_made_again(opened, tmp_path):
    store, _, queries = filled(opened, tmp_path / "a")
    store.compact()
    store.close()
    next((tmp_path / "a").glob("graph-*")).unlink()
    with pytest.raises(StoreError, match="compact the index to make it again"):
        GraphStore(tmp_path / "a", SHAPE, write=True)
    (tmp_path / "a" / MANIFEST).unlink()
    with GraphStore(tmp_path / "a", SHAPE, write=True) as store:
        store.compact()
        assert store.maxsim(queries[3], 1).keys.tolist() == [4]


def test_a_graph_that_cannot_be_written_costs_no_vectors(opened, tmp_path):
    store, _, queries = filled(opened, tmp_path / "a")
    (tmp_path / "a" / "graph-1.usearch").mkdir()  # in the way, as a full disk is
    with pytest.raises(StoreError, match="the vectors are safe"):
        store.compact()
    assert store.maxsim(queries[3], 1).keys.tolist() == [4]
    (tmp_path / "a" / "graph-1.usearch").rmdir()
    store.compact()
    assert store.maxsim(queries[3], 1).keys.tolist() == [4]


def test_settings_and_the_extra(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="near=0"):
        GraphStore(tmp_path, SHAPE, write=True, near=0)
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(MissingExtraError, match=r"tokenry\[retrieval\]"):
        GraphStore(tmp_path, SHAPE, write=True)
