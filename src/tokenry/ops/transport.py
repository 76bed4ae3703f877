"""Optimal transport between two small sets, by proximal steps."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def ipot(
    cost: Float[Tensor, "*b n m"],
    real_rows: Bool[Tensor, "*b n"] | None = None,
    real_columns: Bool[Tensor, "*b m"] | None = None,
    *,
    beta: float = 0.5,
    steps: int = 50,
    eps: float = 1e-12,
) -> Float[Tensor, "*b n m"]:
    r"""Inexact proximal point steps towards the plan of least cost between uniform marginals.

    $Q = e^{-C/\beta} \odot T$, $\delta = \mu / (Q \sigma)$, $\sigma = \nu / (Q^\top \delta)$,
    $T = \mathrm{diag}(\delta) Q \, \mathrm{diag}(\sigma)$. Columns sum to $\nu$ after every step,
    rows to $\mu$ in the limit.

    Args:
        cost: Cost of each pair.
        real_rows: Rows that are no padding, which gets no mass; all where not given.
        real_columns: The same for columns.
        beta: Width of a step; smaller ones go further and are less stable.
        steps: How many.
        eps: What keeps divisions finite where there is no mass.

    >>> ipot(torch.tensor([[0.0, 1.0], [1.0, 0.0]])).round(decimals=3).tolist()
    [[0.5, 0.0], [0.0, 0.5]]

    Source: Xie et al. 2020, "A fast proximal point method for computing exact Wasserstein
    distance", algorithm 1.
    """
    rows = torch.ones_like(cost[..., 0]) if real_rows is None else real_rows.to(cost.dtype)
    columns = torch.ones_like(cost[..., 0, :])
    columns = columns if real_columns is None else real_columns.to(cost.dtype)
    valid = rows[..., :, None] * columns[..., None, :]
    mu = rows / rows.sum(-1, keepdim=True).clamp(min=1)
    nu = columns / columns.sum(-1, keepdim=True).clamp(min=1)
    kernel = torch.exp(-cost / beta) * valid
    plan, sigma = valid, nu
    for _ in range(steps):
        moved = kernel * plan
        delta = mu / ((moved @ sigma[..., None])[..., 0] + eps)
        sigma = nu / ((moved.mT @ delta[..., None])[..., 0] + eps)
        plan = delta[..., :, None] * moved * sigma[..., None, :]
    return plan
