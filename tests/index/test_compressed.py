"""Compressed segments: what they find, what they weigh, and how they change."""

import numpy as np
import pytest
import torch

from tokenry.index import columns, compressed
from tokenry.index.segments import SegmentStore
from tokenry.index.store import Shape
from tokenry.ops import warp
from tokenry.ops.ragged import Ragged
from tokenry.ops.similarity import unit

SHAPE = Shape(32, 4)


def documents(lengths, seed=0):
    """Tokens around a few hundred directions, as a model's tokens are."""
    source = torch.Generator().manual_seed(seed)
    words = torch.randn(300, 32, generator=source)
    lists = []
    for n in lengths:
        chosen = words[torch.randint(300, (n,), generator=source)]
        lists.append(unit(chosen + torch.randn(n, 32, generator=source) * 0.7).half())
    return Ragged.of(lists, 32), torch.randn(len(lengths), 4, generator=source).half()


@pytest.fixture
def store(tmp_path):
    with SegmentStore(tmp_path / "s", SHAPE, write=True) as store:
        yield store


def fill(store, lengths, first=1, seed=0):
    tokens, pooled = documents(lengths, seed)
    store.add(np.arange(first, first + len(lengths)), tokens, pooled)
    store.commit()
    return tokens


@pytest.mark.parametrize(("bits", "least"), [(4, 0.98), (2, 0.9), (1, 0.8)])
def test_it_finds_what_was_asked_for(store, bits, least):
    tokens = fill(store, [5 + i % 20 for i in range(200)])
    keys = np.arange(1, 201, 20)
    exact = store.gather(keys)
    store.compress(bits)
    decoded = store.gather(keys).values.float()
    assert torch.cosine_similarity(exact.values.float(), decoded).mean() > least
    for key in keys.tolist():
        assert store.maxsim(tokens[key - 1].float(), 10).keys[0] == key


@pytest.mark.parametrize("bits", [4, 2])
def test_chosen_documents_are_scored_by_what_their_codes_stand_for(store, bits):
    fill(store, [1 + i % 7 for i in range(60)])
    store.compress(bits)
    query, chosen = documents([5], seed=9)[0].values.float(), np.array([2, 30, 31, 59])
    found = store.maxsim(query, 4, chosen)
    held = dict(zip(chosen.tolist(), store.gather(chosen), strict=True))
    for key, score in zip(found.keys.tolist(), found.scores.tolist(), strict=True):
        by_hand = sum(max(float(q @ t.float()) for t in held[key]) for q in query)
        assert score == pytest.approx(by_hand, abs=0.02)
    assert sorted(found.keys.tolist()) == chosen.tolist()


def test_a_large_segment_is_read_in_parts_and_answers_alike(store, monkeypatch):
    tokens = fill(store, [5 + i % 20 for i in range(200)])
    store.compress(4)
    asked = [tokens[i].float() for i in (3, 50, 199)]
    whole = [store.maxsim(query, 10) for query in asked]
    for owner, name, size in ((columns, "KEPT", 0), (columns, "WINDOW", 700), (warp, "TOGETHER", 4),
                              (compressed, "STEP", 30)):  # fmt: skip
        monkeypatch.setattr(owner, name, size)
    for query, found in zip(asked, whole, strict=True):
        again = store.maxsim(query, 10)
        assert again.keys.tolist() == found.keys.tolist()
        assert again.scores == pytest.approx(found.scores, abs=1e-5)
    before = store.gather(np.arange(2, 201)).values
    store.delete(np.array([1]))
    store.compact()
    assert torch.equal(store.gather(np.arange(2, 201)).values, before)


@pytest.mark.parametrize("lengths", [[1], [3], [0, 1], [2, 5]])
def test_one_or_two_documents(store, lengths):
    tokens = fill(store, lengths)
    store.compress(4)
    assert store.size().tokens == sum(lengths)
    found = store.maxsim(tokens[len(lengths) - 1].float(), 5)
    assert found.keys[0] == len(lengths)
    assert len(found) == sum(n > 0 for n in lengths)


def test_documents_come_and_go_around_it(store):
    tokens = fill(store, [6] * 50)
    store.compress(4)
    later = fill(store, [6] * 10, first=51, seed=1)
    store.delete(np.array([3, 55]))
    store.commit()
    assert store.maxsim(tokens[9].float(), 3).keys[0] == 10
    assert store.maxsim(later[1].float(), 3).keys[0] == 52
    assert 3 not in store.maxsim(tokens[2].float(), 60).keys
    rows = store.gather(np.array([10, 52]))
    for change in (store.compact, lambda: store.compress(4)):
        change()
        assert len(store.keys()) == 58
        again = store.gather(np.array([10, 52])).values
        assert torch.cosine_similarity(again.float(), rows.values.float()).min() > 0.9
        assert store.maxsim(tokens[9].float(), 3).keys[0] == 10
        assert store.maxsim(later[1].float(), 3).keys[0] == 52
        assert store.maxsim(later[1].float(), 9, np.array([1, 10])).keys.tolist() in (
            [1, 10],
            [10, 1],
        )


def test_it_is_the_same_when_opened_again(store, tmp_path):
    tokens = fill(store, [6] * 50)
    store.compress(2)
    found = store.maxsim(tokens[9].float(), 3)
    with SegmentStore(tmp_path / "s", SHAPE, write=False) as again:
        assert again.maxsim(tokens[9].float(), 3).scores.tolist() == found.scores.tolist()
