"""WARP on real token vectors: what it finds, what it weighs, how much it looks at."""

import numpy as np
import pytest

from tokenry.index.segments import SegmentStore
from tokenry.index.store import Shape
from tokenry.ops.ragged import Ragged
from tokenry.retrieval import MaxSim, Warp

QUERIES, LETTERS, PASSAGE = 40, 90_000, 300


@pytest.fixture(scope="module")
def real():
    """Passages of manual pages and questions about them, as MiniLM's token states in 128."""
    from tokenry.data import load_text
    from tokenry.plugs.token_encoder import TokenEncoder

    examples = load_text("manpages")
    pages = list(dict.fromkeys(example.text for example in examples))
    whole = "\n".join(pages)[:LETTERS]
    passages = [whole[start : start + PASSAGE] for start in range(0, len(whole), PASSAGE)]
    encoder = TokenEncoder.load("zoo:minilm-l6").narrowed(passages[:100], 128)
    documents = encoder.encode(passages)
    asked = encoder.encode([example.question for example in examples[:QUERIES]], "query")
    return asked.tokens, documents


@pytest.fixture(scope="module")
def exact(real):
    return MaxSim().score(real[0], real[1].tokens).topk(10).indices


def overlap(found, exact):
    pairs = zip(found.tolist(), exact.tolist(), strict=True)
    return np.mean([len(set(a) & set(b)) / 10 for a, b in pairs])


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "least", "bytes_"), [(4, 0.9, 80), (2, 0.8, 48)])
def test_overlap_with_exact_maxsim_on_real_vectors(real, exact, tmp_path, bits, least, bytes_):
    queries, documents = real
    with SegmentStore(tmp_path, Shape(128), write=True) as store:
        store.add(np.arange(1, len(documents.tokens) + 1), documents.tokens)
        store.commit()
        store.compress(bits)
        found = np.array([store.maxsim(query.float(), 10).keys - 1 for query in queries])
        size = store.size()
    assert overlap(found, exact) >= least
    assert size.bytes / size.tokens <= bytes_


@pytest.mark.slow
def test_scores_without_decompression_stay_near(real, exact):
    queries, documents = real
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
