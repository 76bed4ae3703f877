"""Near-duplicates against datasketch, loops, and closed forms."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops import near

WORDS = st.lists(st.sampled_from("abcdefgh"), max_size=12).map("".join)


def overlapping(index, size=400, seed=0):
    """Two sets of numbers with this Jaccard index."""
    draw = np.random.default_rng(seed)
    shared = round(2 * size * index / (1 + index))
    numbers = draw.choice(2**32, 2 * size - shared, replace=False).astype(np.uint32)
    return np.sort(numbers[:size]), np.sort(numbers[size - shared :])


def truth(sets, least):
    pairs = [(i, j) for i in range(len(sets)) for j in range(i + 1, len(sets))]
    return [p for p in pairs if near.jaccard(sets[p[0]], sets[p[1]]) >= least]


@settings(deadline=None, max_examples=60)
@given(WORDS, WORDS, st.integers(1, 4))
def test_jaccard_is_that_of_sets_of_runs(a, b, n):
    def runs(text):
        return {text[at : at + n] for at in range(max(1, len(text) - n + 1))}

    wanted = len(runs(a) & runs(b)) / len(runs(a) | runs(b))
    assert near.jaccard(near.shingles(a, n), near.shingles(b, n)) == wanted


@settings(deadline=None, max_examples=40)
@given(st.lists(WORDS, min_size=2, max_size=9), st.integers(1, 3))
def test_blocks_find_what_a_loop_finds(texts, block):
    sets = [near.shingles(text, 2) for text in texts]
    pairs, index = near.alike_sets(sets, 0.3, block)
    assert [*map(tuple, pairs.tolist())] == truth(sets, 0.3)
    assert index.tolist() == [near.jaccard(sets[i], sets[j]) for i, j in pairs]


@pytest.mark.parametrize("index", [0.1, 0.5, 0.9])
def test_minhash_is_within_three_standard_errors_and_so_is_datasketch(index):
    from datasketch import MinHash

    a, b = overlapping(index)
    true = near.jaccard(a, b)
    error = 3 * np.sqrt(true * (1 - true) / 512)
    ours = near.minhashes([a, b], 512)
    theirs = MinHash.bulk([[n.tobytes() for n in one] for one in (a, b)], num_perm=512)
    assert abs((ours[0] == ours[1]).mean() - true) < error
    assert abs(theirs[0].jaccard(theirs[1]) - true) < error


@pytest.mark.parametrize(("index", "bands", "rows"), [(0.2, 15, 2), (0.5, 15, 2), (0.8, 5, 6)])
def test_banding_follows_its_curve(index, bands, rows):
    draws = 200
    found = 0
    for seed in range(draws):
        pair = overlapping(index, 60, seed)
        found += len(near.banded(near.minhashes(pair, bands * rows, seed), bands, rows))
        true = near.jaccard(*pair)
    wanted = 1 - (1 - true**rows) ** bands
    assert abs(found / draws - wanted) < 3.5 * np.sqrt(wanted * (1 - wanted) / draws) + 0.01


def test_bands_need_as_many_hashes():
    with pytest.raises(UsageError, match="5 bands of 2 rows need 10 hashes, not 9"):
        near.banded(near.minhashes([near.shingles("abc", 2)], 9), 5, 2)


def test_neighbours_are_those_of_a_loop():
    drawn = np.random.default_rng(0).normal(size=(40, 6))
    vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -1)
    close = {
        (min(i, int(j)), max(i, int(j)))
        for i in range(40)
        for j in np.argsort(-scores[i])[:3]
        if scores[i, j] >= 0.2
    }
    pairs, values = near.alike_vectors(vectors, 0.2, nearest=3, block=7)
    assert [*map(tuple, pairs.tolist())] == sorted(close)
    assert values == pytest.approx([scores[i, j] for i, j in pairs])


def test_no_table_of_all_with_all_is_in_memory():
    count = 6000
    vectors = np.random.default_rng(0).normal(size=(count, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    tracemalloc.start()
    near.alike_vectors(vectors, 0.999, nearest=5, block=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < count * count * 4 / 10
