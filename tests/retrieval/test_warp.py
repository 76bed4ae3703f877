"""WARP on real token vectors: what it finds, what it weighs, how much it looks at."""

import numpy as np
import pytest

from tokenry.index.segments import SegmentStore
from tokenry.index.store import Shape
from tokenry.ops.ragged import Ragged
from tokenry.retrieval import MaxSim, Warp


@pytest.fixture(scope="module")
def exact(passages):
    return MaxSim().score(passages[0], passages[1].tokens).topk(10).indices


def overlap(found, exact):
    pairs = zip(found.tolist(), exact.tolist(), strict=True)
    return np.mean([len(set(a) & set(b)) / 10 for a, b in pairs])


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "least", "bytes_"), [(4, 0.9, 80), (2, 0.8, 48)])
def test_overlap_with_exact_maxsim_on_real_vectors(passages, exact, tmp_path, bits, least, bytes_):
    queries, documents = passages
    with SegmentStore(tmp_path, Shape(128), write=True) as store:
        store.add(np.arange(1, len(documents.tokens) + 1), documents.tokens)
        store.commit()
        store.compress(bits)
        found = np.array([store.maxsim(query.float(), 10).keys - 1 for query in queries])
        size = store.size()
    assert overlap(found, exact) >= least
    assert size.bytes / size.tokens <= bytes_


@pytest.mark.slow
def test_scores_without_decompression_stay_near(passages, exact):
    queries, documents = passages
    found = Warp(bits=4).score(queries, documents.tokens).topk(10).indices
    assert overlap(found, exact) >= 0.8


def test_only_the_clusters_that_are_probed_are_looked_at():
    import torch

    source = torch.Generator().manual_seed(0)
    d = Ragged.of([torch.randn(8, 16, generator=source) for _ in range(50)])
    query = torch.randn(4, 16, generator=source)
    one = Warp(probe=1).score(Ragged.of([query]), d)[0]
    groups = Warp().groups(d)
    cells = (query @ groups.codec.centroids.T).argmax(1)
    seen = {
        int(owner)
        for cell in cells.tolist()
        for owner in groups.owners[groups.bounds[cell] : groups.bounds[cell + 1]]
    }
    assert set(torch.isfinite(one).nonzero()[:, 0].tolist()) == seen
    assert 0 < len(seen) < 50
