"""PLAID: its stages by hand, and what it finds among real vectors."""

from __future__ import annotations

import pytest
import torch

from tokenry.ops.ragged import Ragged
from tokenry.ops.similarity import unit
from tokenry.retrieval import MaxSim, Plaid


def some(lengths, seed=0, width=16):
    source = torch.Generator().manual_seed(seed)
    words = torch.randn(40, width, generator=source)
    lists = []
    for n in lengths:
        chosen = words[torch.randint(40, (n,), generator=source)]
        lists.append(unit(chosen + 0.3 * torch.randn(n, width, generator=source)))
    return Ragged.of(lists, width)


def by_hand(method, query, d, codes, centroids):
    """The documents that are decompressed, document by document."""
    near = (query @ centroids.T).tolist()
    probed = set()
    for row in near:
        probed |= set(sorted(range(len(row)), key=lambda c: -row[c])[: method.probe])
    kept = {c for c in range(len(centroids)) if max(row[c] for row in near) >= method.least}
    of = [codes[int(a) : int(b)].tolist() for a, b in zip(d.offsets, d.offsets[1:], strict=False)]

    def approximate(i, allowed):
        found = [c for c in of[i] if c in allowed]
        return sum(max(row[c] for c in found) for row in near) if found else -torch.inf

    left = [i for i, cells in enumerate(of) if probed & set(cells)]
    left = sorted(left, key=lambda i: -approximate(i, kept))[: method.documents]
    everything = set(range(len(centroids)))
    return sorted(sorted(left, key=lambda i: -approximate(i, everything))[: method.documents // 4])


@pytest.mark.parametrize("settings", [{}, {"probe": 3, "least": 0.2}, {"documents": 8}])
def test_documents_are_chosen_in_the_papers_stages(settings):
    method = Plaid(**settings)
    d = some([1 + i % 6 for i in range(60)])
    centroids = unit(some([12], seed=3).values)
    codes = (d.values @ centroids.T).argmax(1)
    rows = d.map(torch.arange(len(d.values)))
    for query in some([3] * 5, seed=5):
        found = method.candidates(query, rows, codes, centroids)
        assert found.tolist() == by_hand(method, query, d, codes, centroids)


def test_with_every_cluster_open_it_is_maxsim_over_eight_bits():
    d, q = some([1 + i % 6 for i in range(30)]), some([4, 2], seed=7)
    found = Plaid(bits=8, probe=100, least=-1, documents=200).score(q, d)
    assert torch.allclose(found, MaxSim().score(q, d), atol=0.05)


@pytest.mark.slow
def test_claim_few_documents_are_decompressed(passages):
    asked, documents = passages[0], passages[1].tokens
    everything = Plaid(probe=1 << 19, least=-1, documents=1 << 20)
    whole = everything.score(asked, documents).topk(10).indices
    found = Plaid().score(asked, documents)
    assert int(found.isfinite().sum(1).max()) <= 64
    pairs = zip(found.topk(10).indices.tolist(), whole.tolist(), strict=True)
    overlap = sum(len(set(a) & set(b)) for a, b in pairs) / whole.numel()
    assert overlap >= 0.9, overlap
