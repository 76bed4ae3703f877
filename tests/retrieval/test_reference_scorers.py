"""The plain scorers against brute force, and against the package that people use for BM25."""

import numpy as np
import pytest
import torch

from tokenry.errors import UsageError
from tokenry.ops.ragged import Ragged
from tokenry.ops.similarity import unit
from tokenry.retrieval import Bm25, MaxSim, PooledVector


def vectors(lengths, seed=0):
    source = torch.Generator().manual_seed(seed)
    return Ragged.of([torch.randn(n, 6, generator=source) for n in lengths], 6)


@pytest.mark.parametrize("mean", [False, True])
def test_maxsim_is_the_sum_of_the_best(mean):
    q, d = vectors((3, 1)), vectors((4, 2, 7), 1)
    scores = MaxSim(mean=mean).score(q, d)
    for i in range(2):
        for j in range(3):
            best = [max(float(a @ b) for b in d[j]) for a in q[i]]
            expected = sum(best) / (len(best) if mean else 1)
            assert float(scores[i, j]) == pytest.approx(expected, rel=1e-5)


def test_a_pooled_vector_is_the_mean():
    q, d = vectors((3, 1)), vectors((4, 2), 1)
    expected = (
        unit(torch.stack([x.mean(0) for x in q])) @ unit(torch.stack([x.mean(0) for x in d])).T
    )
    assert torch.allclose(PooledVector().score(q, d), expected, atol=1e-6)


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.9, 0.0), (2.0, 1.0)])
def test_bm25_is_that_of_bm25s(k1, b):
    bm25s = pytest.importorskip("bm25s")
    draw = np.random.default_rng(0)
    documents = [draw.integers(0, 30, n).tolist() for n in (5, 12, 1, 40, 7)]
    vocabulary = {str(i): i for i in range(30)}
    reference = bm25s.BM25(method="lucene", k1=k1, b=b, dtype="float64")
    reference.index((documents, vocabulary), show_progress=False)
    d = Ragged.of([torch.tensor(one) for one in documents])
    for query in ([3], [1, 2, 29], [5, 5, 8]):
        expected = reference.get_scores_from_ids(query)
        found = Bm25(k1=k1, b=b).score(Ragged.of([torch.tensor(query)]), d)[0]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_words_are_whole_numbers():
    with pytest.raises(UsageError, match="words are whole numbers from 0"):
        Bm25().score(vectors((2,)), vectors((2,)))
