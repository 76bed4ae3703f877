"""The losses that linkers are tuned with, against loops in float64: values and gradients."""

from __future__ import annotations

import math

import pytest
import torch

from tokenry.errors import UsageError
from tokenry.linking import OnlineContrastive, SupCon
from tokenry.method import Batch


def vectors(b, seed=0):
    drawn = torch.randn(b, 5, generator=torch.Generator().manual_seed(seed))
    return drawn.requires_grad_()


def cosine(x, y):
    return x @ y / (x @ x).sqrt() / (y @ y).sqrt()


def supcon_by_hand(x, groups, tau):
    terms = []
    for i, mine in enumerate(groups):
        mates = [p for p, other in enumerate(groups) if other == mine and p != i]
        shares = {a: (cosine(x[i], x[a]) / tau).exp() for a in range(len(x)) if a != i}
        whole = sum(shares.values())
        if mates:
            terms.append(-sum((shares[p] / whole).log() for p in mates) / len(mates))
    return sum(terms) / len(terms) if terms else x.sum() * 0


def online_by_hand(a, b, same, margin, fewest):
    apart = [1 - cosine(x, y) for x, y in zip(a, b, strict=True)]
    near = [d for d, one in zip(apart, same, strict=True) if one]
    far = [d for d, one in zip(apart, same, strict=True) if not one]
    low = min(far) if len(far) >= fewest else sum(near) / len(near) if near else None
    high = max(near) if len(near) >= fewest else sum(far) / len(far) if far else None
    total = a.sum() * 0 + b.sum() * 0
    for d in near:
        total = total + (d**2 if d > low else 0)
    for d in far:
        total = total + (max(margin - d, d * 0) ** 2 if d < high else 0)
    return total


def agree(loss, hand, *rows):
    found = torch.autograd.grad(loss, [row for row, _ in rows])
    wanted = torch.autograd.grad(hand, [row for _, row in rows])
    assert loss.item() == pytest.approx(hand.item(), abs=1e-5)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other.float(), atol=1e-4)


def double(x):
    return x.detach().double().requires_grad_()


@pytest.mark.parametrize("groups", [[0, 0, 1, 1, 1, 2], [4, 4, 4, 4, 4, 4], [0, 1, 2, 3, 3, 9]])
@pytest.mark.parametrize("tau", [0.07, 0.5])
def test_supcon_is_that_of_a_loop(groups, tau):
    x = vectors(6)
    loss = SupCon(temperature=tau).loss(Batch(vectors={"left": x}, groups=torch.tensor(groups)))
    hand = double(x)
    agree(loss.total, supcon_by_hand(hand, groups, tau), (x, hand))


def test_supcon_of_texts_without_a_mate_is_nothing_and_finite():
    x = vectors(4)
    loss = SupCon().loss(Batch(vectors={"left": x}, groups=torch.arange(4))).total
    loss.backward()
    assert float(loss.detach()) == 0
    assert bool((x.grad == 0).all())


def test_supcon_of_equal_texts_is_the_logarithm_of_the_others():
    x = torch.ones(6, 3)
    loss = SupCon().loss(Batch(vectors={"left": x}, groups=torch.zeros(6, dtype=torch.long)))
    assert float(loss.total) == pytest.approx(math.log(5), abs=1e-5)


@pytest.mark.parametrize("same", ["110100", "100000", "011111", "111111", "000000"])
@pytest.mark.parametrize("released", [False, True])
def test_online_contrastive_is_that_of_a_loop(same, released):
    a, b = vectors(6), vectors(6, seed=1)
    labels = [int(mark) for mark in same]
    batch = Batch(vectors={"left": a, "right": b}, labels={"same": torch.tensor(labels)})
    loss = OnlineContrastive(margin=1.3, released=released).loss(batch).total
    x, y = double(a), double(b)
    agree(loss, online_by_hand(x, y, labels, 1.3, 2 if released else 1), (a, x), (b, y))


def test_pairs_in_order_have_no_loss():
    a = torch.eye(3)
    b = torch.eye(3)[[0, 1, 0]]
    batch = Batch(vectors={"left": a, "right": b}, labels={"same": torch.tensor([1, 1, 0])})
    assert float(OnlineContrastive().loss(batch).total) == 0


def test_they_say_what_they_need():
    x = vectors(4)
    with pytest.raises(UsageError, match="group of each text"):
        SupCon().loss(Batch(vectors={"left": x}))
    with pytest.raises(UsageError, match="label of each pair"):
        OnlineContrastive().loss(Batch(vectors={"left": x, "right": x}))
