"""The multi-label loss against its closed form."""

from __future__ import annotations

import math

import torch

from tokenry.ops.multilabel import log_sum_exp_loss


def test_the_loss_is_its_closed_form():
    scores = torch.tensor([[1.5, -0.3, 0.2], [0.0, 2.0, -1.0]], dtype=torch.float64)
    labels = torch.tensor([[True, False, True], [False, False, False]])
    wanted = [
        math.log(1 + math.exp(-0.3)) + math.log(1 + math.exp(-1.5) + math.exp(-0.2)),
        math.log(1 + 1 + math.exp(2) + math.exp(-1)),
    ]
    torch.testing.assert_close(log_sum_exp_loss(scores, labels).tolist(), wanted)


def test_one_label_of_each_kind_at_zero_costs_two_log_two():
    found = log_sum_exp_loss(torch.zeros(1, 2), torch.tensor([[True, False]]))
    torch.testing.assert_close(found, torch.tensor([2 * math.log(2)]))


def test_training_puts_true_labels_above_zero():
    labels = torch.rand(20, 6, generator=torch.Generator().manual_seed(0)) < 0.3
    scores = torch.zeros(20, 6, requires_grad=True)
    for _ in range(50):
        (slope,) = torch.autograd.grad(log_sum_exp_loss(scores, labels).sum(), scores)
        scores = (scores - slope).detach().requires_grad_()
    assert ((scores > 0) == labels).all()
