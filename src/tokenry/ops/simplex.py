"""Projection onto the simplex: weights that sum to one, most of them zero."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def sparsemax(scores: Float[Tensor, "n v"]) -> Float[Tensor, "n v"]:
    r"""The nearest weights to scores, row by row.

    $\operatorname{argmin}_{w \ge 0,\, \sum_i w_i = 1} \lVert w - s \rVert^2
    = \max(s - \theta, 0)$, where $\theta$ makes the weights sum to one.

    Args:
        scores: Any numbers, at least one per row.

    Returns:
        Weights of at least 0 that sum to 1 in each row.

    >>> sparsemax(torch.tensor([[0.5, 0.25, -1.0]]))
    tensor([[0.6250, 0.3750, 0.0000]])

    Source: Martins and Astudillo 2016, algorithm 1.
    """
    ordered = scores.sort(-1, descending=True).values
    excess = ordered.cumsum(-1) - 1
    places = torch.arange(1, scores.shape[-1] + 1, device=scores.device)
    support = (ordered * places > excess).sum(-1, keepdim=True)
    return (scores - excess.gather(-1, support - 1) / support).clamp(min=0)
