"""IPOT against the exact linear programme, and padding that gets no mass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from tokenry.ops.transport import ipot


def cost(n=12, m=5, seed=0, width=8):
    drawn = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(k, width, generator=drawn, dtype=torch.float64) for k in (n, m))
    unit = torch.nn.functional.normalize
    return 1 - unit(a, dim=-1) @ unit(b, dim=-1).T


def least_cost(table):
    """The cost of the best plan, by linear programming."""
    n, m = table.shape
    sums = np.concatenate((np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))))
    wanted = np.concatenate((np.full(n, 1 / n), np.full(m, 1 / m)))
    return linprog(table.numpy().ravel(), A_eq=sums, b_eq=wanted).fun


@pytest.mark.parametrize("seed", range(5))
def test_the_plan_nears_the_exact_optimum(seed):
    table = cost(seed=seed)
    exact = least_cost(table)
    gaps, rows_off = [], []
    for steps in (10, 50, 200, 4000):
        plan = ipot(table, steps=steps)
        torch.testing.assert_close(plan.sum(0), torch.full((5,), 1 / 5, dtype=plan.dtype))
        gaps.append(abs(float((plan * table).sum()) / exact - 1))
        rows_off.append(float((plan.sum(1) - 1 / 12).abs().max()) * 12)
    assert gaps == sorted(gaps, reverse=True)
    assert rows_off == sorted(rows_off, reverse=True)
    # By default within a hundredth of a row's mass; in the limit what the algorithm promises.
    assert rows_off[1] < 0.01
    assert max(gaps[-1], rows_off[-1]) < 1e-6


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("steps", "off", "gap"), [(50, 5e-4, 2e-3), (200, 1e-5, 2e-4)])
def test_sums_and_cost_of_as_many_steps_as_released(seed, steps, off, gap):
    table = cost(seed=seed, width=64)
    plan = ipot(table, steps=steps)
    assert float((plan.sum(1) - 1 / 12).abs().max()) < off
    assert float((plan * table).sum()) / least_cost(table) - 1 < gap


def test_padding_gets_no_mass_and_changes_nothing():
    table = cost()
    wide = torch.full((2, 15, 8), 7.0, dtype=table.dtype)
    wide[0, :12, :5] = table
    rows = torch.tensor([[True] * 12 + [False] * 3, [False] * 15])
    columns = torch.tensor([[True] * 5 + [False] * 3, [False] * 8])
    plan = ipot(wide, rows, columns)
    torch.testing.assert_close(plan[0, :12, :5], ipot(table))
    assert plan[0].sum() == pytest.approx(1)
    assert plan[0, 12:].sum() == plan[0, :, 5:].sum() == plan[1].sum() == 0
