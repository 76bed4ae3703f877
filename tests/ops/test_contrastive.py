"""Contrastive losses against loops, closed forms and pytorch-metric-learning."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops.contrastive import hinge_loss, in_batch, pairwise, softmax_loss, supervised
from tokenry.ops.similarity import unit


def vectors(b, d=5, seed=0):
    return torch.randn(b, d, generator=torch.Generator().manual_seed(seed))


def cosine(x, y):
    return float(torch.dot(x, y) / x.norm() / y.norm())


def softmax_by_hand(query, right, wrong, tau):
    shares = [math.exp(cosine(query, c) / tau) for c in [right, *wrong]]
    return -math.log(shares[0] / sum(shares))


def hinge_by_hand(query, right, wrong, margin):
    over = [max(0, cosine(query, c) - cosine(query, right) + margin) for c in wrong]
    return sum(over) / len(over) if over else 0.0


@pytest.mark.parametrize("against", ["right", "both", "views"])
@pytest.mark.parametrize("form", ["softmax", "hinge"])
@pytest.mark.parametrize("groups", [None, [0, 1, 0, 2, 1], [0, 0, 0, 0, 0]])
def test_in_batch_is_that_of_a_loop(against, form, groups):
    a, b = vectors(5), vectors(5, seed=1)
    of = groups or list(range(5))
    rows = []
    for i in range(5):
        others = [j for j in range(5) if of[j] != of[i]]
        if against == "views":
            wrong = [v[j] for v in (a, b) for j in others]
            rows += [(a[i], b[i], wrong), (b[i], a[i], wrong)]
        else:
            rows.append((a[i], b[i], [b[j] for j in others]))
            if against == "both":
                rows.append((b[i], a[i], [a[j] for j in others]))
    one, number = (softmax_by_hand, 0.3) if form == "softmax" else (hinge_by_hand, 0.4)
    by_hand = sum(one(*row, number) for row in rows) / len(rows)
    given_groups = None if groups is None else torch.tensor(groups)
    loss = in_batch(
        a, b, temperature=0.3, margin=0.4, against=against, form=form, groups=given_groups
    )
    assert float(loss) == pytest.approx(by_hand, abs=1e-6)


def test_hard_negatives_are_further_candidates():
    a, b, hard = vectors(3), vectors(3, seed=1), vectors(4, seed=2)
    rows = [(a[i], b[i], [*(b[j] for j in range(3) if j != i), *hard], 0.1) for i in range(3)]
    by_hand = sum(softmax_by_hand(*row) for row in rows) / 3
    assert float(in_batch(a, b, hard=hard, temperature=0.1)) == pytest.approx(by_hand, abs=1e-5)
    masked = in_batch(a, b, hard=hard, groups=torch.arange(3), temperature=0.1)
    assert float(masked) == pytest.approx(by_hand, abs=1e-5)
    with pytest.raises(UsageError, match="hard negatives belong to the lefts"):
        in_batch(a, b, hard=hard, against="both")


@given(st.integers(2, 9), st.integers(0, 99))
def test_equal_vectors_give_the_logarithm_of_the_candidates(b, seed):
    same = vectors(1, seed=seed).expand(b, -1)
    assert float(in_batch(same, same)) == pytest.approx(math.log(b), abs=1e-5)
    views = float(in_batch(same, same, against="views"))
    assert views == pytest.approx(math.log(2 * b - 1), abs=1e-5)


@given(st.integers(2, 6), st.integers(0, 99))
def test_order_of_pairs_does_not_matter(b, seed):
    x, y = vectors(b, seed=seed), vectors(b, seed=seed + 100)
    order = torch.randperm(b, generator=torch.Generator().manual_seed(seed))
    for against in ("right", "both", "views"):
        first, second = (in_batch(*p, against=against) for p in ((x, y), (x[order], y[order])))
        assert float(first) == pytest.approx(float(second), abs=1e-5)


def test_met_margins_have_no_gradient():
    x = torch.eye(3).requires_grad_()
    loss = in_batch(x, torch.eye(3), form="hinge", margin=0.5)
    loss.backward()
    assert float(loss.detach()) == 0
    assert float(x.grad.abs().max()) == 0


def test_a_positive_counts_even_where_it_is_left_out():
    scores = torch.tensor([[1.0, 2.0, 3.0]])
    all_out = torch.ones(1, 3, dtype=torch.bool)
    assert softmax_loss(scores, torch.tensor([1]), all_out).tolist() == [0]
    assert hinge_loss(scores, 9.0, torch.tensor([1]), all_out).tolist() == [0]


@pytest.fixture(scope="module")
def peer():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pytorch_metric_learning import losses
    return losses


@pytest.mark.parametrize("tau", [0.04, 0.2, 1.0])
def test_views_equal_pytorch_metric_learning(peer, tau):
    a, b = vectors(7, 16), vectors(7, 16, seed=1)
    labels = torch.arange(7).repeat(2)
    theirs = peer.NTXentLoss(temperature=tau)(torch.cat([a, b]), labels)
    assert float(in_batch(a, b, temperature=tau, against="views")) == pytest.approx(
        float(theirs), abs=1e-5
    )


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 0], [3, 3, 3, 3, 3, 1], [0, 1, 2, 3, 4, 5]])
def test_supervised_equals_pytorch_metric_learning(peer, labels):
    x, labels = vectors(6, 8), torch.tensor(labels)
    theirs = peer.SupConLoss(temperature=0.2)(x, labels)
    assert float(supervised(x, labels, temperature=0.2)) == pytest.approx(float(theirs), abs=1e-5)


def test_supervised_of_one_label_is_a_softmax_over_the_others():
    """Where there are no negatives, pytorch-metric-learning gives 0; the formula does not."""
    x = torch.ones(6, 3)
    loss = supervised(x, torch.zeros(6, dtype=torch.long))
    assert float(loss) == pytest.approx(math.log(5), abs=1e-5)


@pytest.mark.parametrize("same", ["110100", "111111", "000000"])
@pytest.mark.parametrize("hard_only", [False, True])
def test_pairwise_equals_sentence_transformers(same, hard_only):
    from sentence_transformers.sentence_transformer import losses

    a, b = vectors(6, 8), vectors(6, 8, seed=1)
    same = torch.tensor([mark == "1" for mark in same])
    peer = losses.OnlineContrastiveLoss if hard_only else losses.ContrastiveLoss
    theirs = peer(None, margin=0.9).compute_loss_from_embeddings([a, b], same.int())
    ours = pairwise(a, b, same, margin=0.9, hard_only=hard_only)
    assert float(ours) == pytest.approx(float(theirs), abs=1e-5)


def test_zero_vectors_leave_no_nan():
    x = torch.zeros(3, 4, requires_grad=True)
    in_batch(x, x, against="views").backward()
    assert bool(torch.isfinite(x.grad).all())
    assert unit(x).isfinite().all()
