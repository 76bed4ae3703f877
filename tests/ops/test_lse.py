"""Attention in blocks against attention in one piece, written with loops or plain softmax."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from tokenry.ops.lse import _ROWS, attend, attend_backward, merge

SCALE = 0.4


def blocks(seed=0, b=2, h=4, g=2, t=5, s=9, e=6, dtype=torch.float64):
    source = torch.Generator().manual_seed(seed)
    shapes = ((b, h, t, e), (b, g, s, e), (b, g, s, e))
    return [torch.randn(shape, generator=source, dtype=torch.float64).to(dtype) for shape in shapes]


def attend_by_loops(q, k, v, mask):
    """Output and log-sum-exp, one query at a time; nothing seen is 0 and minus infinity."""
    b, h, t, e = q.shape
    out, lse = np.zeros((b, h, t, e)), np.full((b, h, t), -math.inf)
    for i in np.ndindex(b, h, t):
        head = i[1] // (h // k.shape[1])
        seen = [j for j in range(k.shape[2]) if mask[i[0], i[1], i[2], j]]
        weight = [math.exp(SCALE * float(q[i] @ k[i[0], head, j])) for j in seen]
        if seen:
            total = sum(weight)
            out[i] = sum(w * v[i[0], head, j] for w, j in zip(weight, seen, strict=True)) / total
            lse[i] = math.log(total)
    return out, lse


@pytest.mark.parametrize("form", ["none", "causal", "keys", "heads"])
@pytest.mark.parametrize(("h", "g"), [(1, 1), (4, 4), (4, 2), (6, 1)])
def test_attend_equals_loops(h, g, form):
    """Masks of every shape that fits, some rows of them empty."""
    q, k, v = blocks(h, h=h, g=g)
    masks = {
        "none": None,
        "causal": torch.ones(5, 9).tril(-1).bool()[None, None],
        "keys": (torch.arange(9) < torch.tensor([[7], [0]]))[:, None, None],
        "heads": torch.rand(2, h, 5, 9, generator=torch.Generator().manual_seed(1)) > 0.7,
    }
    mask = masks[form]
    out, lse = attend(q, k, v, SCALE, mask)
    seen = torch.ones(2, h, 5, 9).bool() if mask is None else mask.expand(2, h, 5, 9)
    expected = attend_by_loops(q.numpy(), k.numpy(), v.numpy(), seen.numpy())
    np.testing.assert_allclose(out.numpy(), expected[0], atol=1e-12)
    np.testing.assert_allclose(lse.numpy(), expected[1], atol=1e-12)


def test_more_queries_than_exist_at_once():
    """Rows come in blocks: their borders, and masks that are cut with them."""
    q, k, v = blocks(t=2 * _ROWS + 3, b=1, h=2, g=1)
    mask = torch.rand(1, 1, q.shape[2], 9, generator=torch.Generator().manual_seed(0)) > 0.5
    out, lse = attend(q, k, v, SCALE, mask)
    for row in (0, _ROWS - 1, _ROWS, 2 * _ROWS, 2 * _ROWS + 2):
        one = slice(row, row + 1)
        alone = attend(q[:, :, one], k, v, SCALE, mask[:, :, one])
        torch.testing.assert_close((out[:, :, one], lse[:, :, one]), alone, rtol=0, atol=1e-14)


@pytest.mark.parametrize("cuts", [(4,), (1, 2, 8), (3, 5)])
def test_merged_parts_equal_the_whole(cuts):
    """In any number of parts, in any order, some of them hidden from some queries."""
    q, k, v = blocks(1)
    mask = torch.rand(2, 1, 5, 9, generator=torch.Generator().manual_seed(2)) > 0.6
    mask[0, 0, 2] = False
    whole = attend(q, k, v, SCALE, mask)
    edges = sorted({0, *cuts, 9})
    pieces = [slice(*pair) for pair in pairwise(edges)]
    for order in (pieces, pieces[::-1]):
        total = torch.zeros_like(q), torch.full(q.shape[:3], -math.inf, dtype=q.dtype)
        for at in order:
            total = merge(*total, *attend(q, k[:, :, at], v[:, :, at], SCALE, mask[..., at]))
        torch.testing.assert_close(total, whole, rtol=0, atol=1e-13)
    assert (whole[0][0, :, 2] == 0).all()
    assert (whole[1][0, :, 2] == -math.inf).all()


def test_merge_holds_for_scores_far_apart():
    """One part outweighs the other by more than any exponent can hold."""
    out, other = torch.zeros(1, 1, 3, 2), torch.ones(1, 1, 3, 2)
    lse = torch.tensor([[[1e4, -1e4, 0.0]]])
    merged, total = merge(out, lse, other, -lse)
    assert merged[0, 0, :, 0].tolist() == [0, 1, 0.5]
    torch.testing.assert_close(total, torch.tensor([[[1e4, 1e4, math.log(2)]]]))


def test_gradients_of_merged_parts_are_those_of_the_whole():
    """Through `attend` and `merge`, with rows that see nothing in one part or in both."""
    tensors = [x.requires_grad_() for x in blocks(3)]
    mask = torch.ones(2, 1, 5, 9, dtype=torch.bool)
    mask[0, 0, 1], mask[0, 0, 2, :4], mask[1, 0, 3, 4:] = False, False, False
    q, k, v = tensors

    def loss(out, lse):
        seen = mask.any(-1).expand_as(lse)
        return (out * torch.arange(6.0)).sum() + lse[seen].sin().sum()

    whole = torch.autograd.grad(loss(*attend(q, k, v, SCALE, mask)), tensors)
    parts = [
        attend(q, k[:, :, at], v[:, :, at], SCALE, mask[..., at]) for at in (slice(4), slice(4, 9))
    ]
    merged = torch.autograd.grad(loss(*merge(*parts[0], *parts[1])), tensors)
    torch.testing.assert_close(merged, whole, rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(lambda *x: attend(*x, SCALE, mask)[0], tensors)


@pytest.mark.parametrize("t", [5, _ROWS + 2])
@pytest.mark.parametrize(("h", "g"), [(4, 4), (6, 2)])
def test_backward_of_blocks_adds_up_to_autograd(h, g, t):
    tensors = [x.requires_grad_() for x in blocks(4, b=1, h=h, g=g, t=t)]
    mask = torch.rand(1, 1, t, 9, generator=torch.Generator().manual_seed(5)) > 0.4
    mask[:, :, 3] = False
    out, lse = attend(*tensors, SCALE, mask)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(6), dtype=out.dtype)
    expected = torch.autograd.grad(out, tensors, grad)
    q, k, v = (x.detach() for x in tensors)
    delta = (grad * out.detach()).sum(-1)
    shares = [
        attend_backward(
            grad, q, k[:, :, at], v[:, :, at], lse.detach(), delta, SCALE, mask[..., at]
        )
        for at in (slice(4), slice(4, 9))
    ]
    torch.testing.assert_close(shares[0][0] + shares[1][0], expected[0], rtol=0, atol=1e-12)
    for i in (1, 2):
        both = torch.cat([share[i] for share in shares], 2)
        torch.testing.assert_close(both, expected[i], rtol=0, atol=1e-12)


def test_half_precision_weighs_in_float32():
    tensors = blocks(7, dtype=torch.bfloat16)
    out, lse = attend(*tensors, SCALE)
    assert (out.dtype, lse.dtype) == (torch.bfloat16, torch.float32)
    exact = attend(*(x.double() for x in tensors), SCALE)
    torch.testing.assert_close(lse.double(), exact[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(out.double(), exact[0], rtol=0, atol=1e-2)
