"""Scores of late interaction against loops over single tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops.late import maxsim, mean_maxsim, xtr_scores, xtr_train_scores
from tokenry.ops.ragged import Ragged

LENGTHS = st.lists(st.integers(0, 6), min_size=1, max_size=6)


def vectors(lengths, seed=0):
    source = torch.Generator().manual_seed(seed)
    return Ragged.of([torch.randn(n, 4, generator=source) for n in lengths], 4)


@settings(deadline=None, max_examples=40)
@given(LENGTHS, LENGTHS, st.integers(1, 9))
def test_any_block_size_gives_the_sum_of_the_best(queries, documents, rows):
    q, d = vectors(queries), vectors(documents, 1)
    scores = maxsim(q, d, rows=rows)
    for i, a in enumerate(q):
        for j, b in enumerate(d):
            expected = (a @ b.T).amax(1).sum() if len(b) else torch.tensor(-torch.inf)
            assert torch.allclose(scores[i, j], expected, atol=1e-5)


def test_gradients_reach_the_best_tokens_only():
    q, d = vectors((2,)), vectors((3, 0, 4), 1)
    values = d.values.clone().requires_grad_()
    scores = maxsim(q, Ragged(values, d.offsets))
    scores[0, [0, 2]].sum().backward()
    expected = torch.zeros_like(values)
    for first, rows in ((0, d[0]), (3, d[2])):
        for token, best in zip(q[0], (q[0] @ rows.T).argmax(1), strict=True):
            expected[first + best] += token
    assert torch.allclose(values.grad, expected)


def loop(q, d, top_k):
    """XTR's training score, token by token."""
    found = torch.zeros(len(q), len(d))
    for i, a in enumerate(q):
        best = [[] for _ in range(len(d))]
        for token in a:
            near = d.values @ token
            chosen = near.topk(min(top_k, len(near))).indices.tolist()
            for j in range(len(d)):
                hits = [float(near[c]) for c in chosen if int(d.owners[c]) == j]
                if hits:
                    best[j].append(max(hits))
        for j, some in enumerate(best):
            found[i, j] = sum(some) / len(some) if some else 0.0
    return found


@settings(deadline=None, max_examples=40)
@given(LENGTHS, LENGTHS, st.integers(1, 40))
def test_training_scores_are_those_of_a_loop(queries, documents, top_k):
    q, d = vectors(queries), vectors(documents, 1)
    if len(d.values):
        assert torch.allclose(xtr_train_scores(q, d, top_k), loop(q, d, top_k), atol=1e-5)


def test_a_negative_similarity_that_was_retrieved_counts():
    q = Ragged.of([torch.tensor([[1.0, 0.0]])])
    d = Ragged.of([torch.tensor([[-0.5, 0.0]]), torch.tensor([[-0.9, 0.0]])])
    assert xtr_train_scores(q, d, 1).tolist() == [[-0.5, 0.0]]
    with pytest.raises(UsageError, match="top_k=0"):
        xtr_train_scores(q, d, 0)


def retrieved(q, d, k):
    near = q[0] @ d.values.T
    scores, places = near.topk(min(k, near.shape[1]), 1)
    return d.owners[places], scores


@pytest.mark.parametrize("k", [1, 2, 5, 99])
def test_imputed_scores_bound_the_mean_maxsim_from_above(k):
    q, d = vectors((5,)), vectors((4, 1, 6, 2), 1)
    exact = mean_maxsim(q, d)[0]
    documents, scores = xtr_scores(*retrieved(q, d, k))
    assert bool((scores >= exact[documents] - 1e-6).all())
    if k == 99:
        assert documents.tolist() == [0, 1, 2, 3]
        assert torch.allclose(scores, exact, atol=1e-6)


def test_hits_that_are_none_are_left_out():
    owners = torch.tensor([[4, -1, 4], [-1, -1, -1]])
    near = torch.tensor([[0.5, 0.9, torch.nan], [0.1, 0.1, 0.1]])
    documents, scores = xtr_scores(owners, near)
    assert documents.tolist() == [4]
    assert scores.tolist() == [0.25]
    _, zeros = xtr_scores(torch.tensor([[4], [2]]), torch.tensor([[0.5], [0.3]]), "zero")
    assert zeros.tolist() == pytest.approx([0.15, 0.25])
