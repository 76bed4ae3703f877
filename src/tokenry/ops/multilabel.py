"""Losses for texts that have any number of labels."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def log_sum_exp_loss(
    scores: Float[Tensor, "b c"], labels: Bool[Tensor, "b c"]
) -> Float[Tensor, " b"]:
    r"""Every true label above 0, every other one below, whatever their numbers.

    $\ln(1 + \sum_{j \notin y} e^{s_j}) + \ln(1 + \sum_{i \in y} e^{-s_i})$; predict the labels
    with a score above 0.

    >>> log_sum_exp_loss(torch.zeros(1, 2), torch.tensor([[True, False]])).tolist()
    [1.386...]

    Source: Su et al. 2022, "ZLPR".
    """
    zero = scores.new_zeros(len(scores), 1)
    above = torch.cat((zero, scores.masked_fill(labels, -torch.inf)), 1).logsumexp(1)
    below = torch.cat((zero, (-scores).masked_fill(~labels, -torch.inf)), 1).logsumexp(1)
    found: Float[Tensor, " b"] = above + below
    return found
