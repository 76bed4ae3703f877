"""XTR against loops, and its claims."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.method import Batch
from tokenry.ops.late import mean_maxsim
from tokenry.ops.ragged import Ragged
from tokenry.retrieval import XTR

D = 6


def unit(n, source, d=D):
    return torch.nn.functional.normalize(torch.randn(n, d, generator=source), dim=-1)


def sets(lengths, seed, centres=0):
    """Lists of vectors of length one; around `centres` common directions, if any."""
    source = torch.Generator().manual_seed(seed)
    total = sum(lengths)
    x = unit(total, source)
    if centres:
        middle = unit(centres, source)[torch.randint(centres, (total,), generator=source)]
        x = torch.nn.functional.normalize(middle + 0.5 * x, dim=-1)
    return Ragged.of(x.split(list(lengths)), width=D)


def by_hand(query, documents, k, impute):
    """Each query token sorts all tokens of all documents; the first k are what it knows."""
    every = [
        (float(q @ t), owner) for q in query for owner, doc in enumerate(documents) for t in doc
    ]
    per = len(every) // len(query)
    totals = [0.0] * len(documents)
    for i in range(len(query)):
        hits = sorted(every[i * per : (i + 1) * per], reverse=True)[:k]
        bound = hits[-1][0] if impute == "last" else 0.0
        for owner in range(len(documents)):
            totals[owner] += max((s for s, o in hits if o == owner), default=bound)
    return [total / len(query) for total in totals]


@pytest.mark.parametrize("impute", ["last", "zero"])
@pytest.mark.parametrize("k", [1, 2, 5, 17, 99])
def test_score_is_that_of_a_loop(k, impute):
    q, d = sets((3, 1, 4), 0), sets((4, 1, 7, 5), 1, centres=3)
    scores = XTR(top_k=k, impute=impute).score(q, d)
    for row, query in zip(scores, q, strict=True):
        assert row.tolist() == pytest.approx(by_hand(query, list(d), k, impute), abs=1e-5)


def test_empty_documents_and_queries():
    q, d = sets((2, 0), 0), sets((3, 0, 2), 1)
    scores = XTR(top_k=2).score(q, d)
    assert scores[:, 1].tolist() == [-math.inf] * 2
    assert scores[1, [0, 2]].tolist() == [0, 0]
    assert XTR().score(sets((), 0), d).shape == (0, 3)
    assert XTR().score(q, sets((), 0)).shape == (2, 0)
    assert XTR().score(q, sets((0, 0), 0)).tolist() == [[-math.inf] * 2] * 2


lengths = st.lists(st.integers(1, 6), min_size=1, max_size=5)


@settings(deadline=None, max_examples=40)
@given(lengths, lengths, st.integers(0, 999), st.integers(0, 3))
def test_claim_score_is_a_bound_that_falls(queries, documents, seed, centres):
    q, d = sets(queries, seed), sets(documents, seed + 1, centres)
    exact, before = mean_maxsim(q, d), torch.inf
    for k in range(1, sum(documents) + 1):
        scores = XTR(top_k=k).score(q, d)
        assert bool((scores >= exact - 1e-5).all())
        assert bool((scores <= before + 1e-5).all())
        before = scores
    assert torch.allclose(before, exact, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(lengths, st.integers(0, 999), st.integers(1, 9))
def test_order_of_documents_does_not_matter(documents, seed, k):
    q, d = sets((3, 2), seed), sets(documents, seed + 1)
    order = torch.randperm(len(d), generator=torch.Generator().manual_seed(seed))
    first, second = XTR(top_k=k).score(q, d), XTR(top_k=k).score(q, d.take(order))
    assert torch.allclose(first[:, order], second, atol=1e-5)


def padded(b, n, seed):
    source = torch.Generator().manual_seed(seed)
    real = torch.arange(n) < torch.randint(1, n + 1, (b, 1), generator=source)
    return unit(b * n, source).view(b, n, D), real


@pytest.mark.parametrize("k", [1, 2, 7, 999])
@pytest.mark.parametrize("groups", [None, [0, 1, 1, 2]])
def test_loss_equals_sentence_transformers(k, groups):
    """Their scores of the padded batch, and a softmax by hand."""
    from sentence_transformers.multi_vector_encoder.scoring import XTRScores

    (q, q_real), (d, d_real) = padded(4, 5, 0), padded(4, 8, 1)
    theirs = XTRScores(top_k=min(k, int(d_real.sum())))(q, d[:, None], q_real, d_real[:, None])
    of = groups or [0, 1, 2, 3]
    by_hand = 0.0
    for i in range(4):
        kept = [theirs[i, j] / 0.1 for j in range(4) if j == i or of[j] != of[i]]
        by_hand += float(torch.stack(kept).logsumexp(0) - theirs[i, i] / 0.1) / 4
    batch = Batch(
        vectors={"left": q, "right": d},
        real={"left": q_real, "right": d_real},
        groups=None if groups is None else torch.tensor(groups),
    )
    loss = XTR(train_k=k, temperature=0.1).loss(batch).total
    assert float(loss) == pytest.approx(by_hand, abs=1e-5)


def test_gradients_flow_to_retrieved_tokens_alone():
    (q, q_real), (d, d_real) = padded(3, 4, 0), padded(3, 6, 1)
    d.requires_grad_()
    batch = Batch(vectors={"left": q, "right": d}, real={"left": q_real, "right": d_real})
    XTR(train_k=1, temperature=0.1).loss(batch).total.backward()
    near = (q[q_real] @ d.detach()[d_real].mT).argmax(1)
    retrieved = torch.zeros(int(d_real.sum()), dtype=torch.bool)
    retrieved[near] = True
    touched = d.grad[d_real].abs().sum(1) > 0
    assert bool((touched <= retrieved).all())
    assert bool(touched.any())
    assert float(d.grad[~d_real].abs().max()) == 0


def test_claim_scoring_costs_a_hundredth():
    """Both count what they need once the tokens are retrieved; candidates are the same.

    Gathering: n query tokens with m tokens of d channels for each candidate, and the maximum of m,
    and a sum. XTR: the maximum over the hits, and a sum.
    """
    n, m, d, k = 16, 55, 128, 100
    documents, queries = (
        [torch.randn(m, d, generator=torch.Generator().manual_seed(i)) for i in range(400)],
        5,
    )
    tokens = torch.nn.functional.normalize(torch.cat(documents), dim=-1)
    owners = torch.arange(400).repeat_interleave(m)
    for seed in range(queries):
        query = unit(n, torch.Generator().manual_seed(seed), d)
        hits = owners[(query @ tokens.mT).topk(k, 1).indices]
        candidates = len(hits.unique())
        gathering = candidates * n * (2 * m * d + m + 1)
        xtr = hits.numel() + candidates * n
        assert gathering / xtr > 1000
        per = hits.numel() / candidates  # the paper's cost model counts hits as r per candidate
        assert gathering / (candidates * n * (per / n + 1)) == pytest.approx(gathering / xtr)


def test_claim_the_bound_ranks_better_than_nothing():
    """How many of the exact ten best documents are among the ten best."""
    shared = {"last": 0.0, "zero": 0.0}
    for seed in range(5):
        q, d = sets((8,) * 10, seed, centres=6), sets((12,) * 60, seed + 100, centres=6)
        exact = mean_maxsim(q, d).topk(10, 1).indices
        for impute in shared:
            best = XTR(top_k=60, impute=impute).score(q, d).topk(10, 1).indices
            both = [torch.isin(*rows).float().mean() for rows in zip(best, exact, strict=True)]
            shared[impute] += float(torch.stack(both).mean()) / 5
    assert shared["last"] > shared["zero"] + 0.05


@pytest.mark.slow
def test_claim_the_bound_on_real_tokens(passages):
    """The share of the exact ten best passages that are among the ten best."""
    q, d = (sets.map(sets.values.float()) for sets in (passages[0], passages[1].tokens))
    exact = mean_maxsim(q, d).topk(10, 1).indices

    def shared(k, impute):
        best = XTR(top_k=k, impute=impute).score(q, d).topk(10, 1).indices
        both = [torch.isin(*rows).float().mean() for rows in zip(best, exact, strict=True)]
        return float(torch.stack(both).mean())

    assert shared(500, "last") > max(0.95, shared(500, "zero") + 0.05)
    assert shared(10, "last") < shared(10, "zero")  # few hits: how many there are says more
