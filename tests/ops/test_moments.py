"""Running mean and variance against the formula in float64, one chunk after the other."""

import numpy as np
import pytest
import torch

from tokenry.ops.moments import deviation, update_moments


def by_formula(chunks, cap):
    """The released recursion, written once more in NumPy."""
    mean, variance = 0.0, 0.0
    for n, rows in enumerate(chunks):
        t = len(rows)
        m, v = rows.mean(0), rows.var(0)
        if n == 0:
            mean, variance = m, v * t / (t - 1)
        else:
            k = min(n, cap)
            variance = (variance * (k - 1 / t) + v + (m - mean) ** 2 / (1 + 1 / k)) / (
                k + 1 - 1 / t
            )
            mean = (mean * k + m) / (k + 1)
    return mean, variance


def run(chunks, cap=1000, real=None):
    d = chunks[0].shape[-1]
    state = torch.zeros(1, d).double(), torch.zeros(1, d).double(), torch.zeros(1).double()
    for i, rows in enumerate(chunks):
        rows = torch.as_tensor(rows).double()[None]
        valid = torch.ones(rows.shape[:2], dtype=torch.bool) if real is None else real[i][None]
        state = update_moments(*state, rows, valid, cap)
    return [x[0].numpy() for x in state]


@pytest.mark.parametrize("cap", [1000, 3])
@pytest.mark.parametrize("lengths", [(4, 4, 4, 4, 4), (5, 2, 9, 3), (2,), (6, 1, 1, 1)])
def test_moments_equal_the_formula(lengths, cap):
    rng = np.random.default_rng(len(lengths))
    chunks = [rng.normal(i, 1 + i, size=(t, 3)) for i, t in enumerate(lengths)]
    mean, variance, n = run(chunks, cap)
    expected = by_formula(chunks, cap)
    np.testing.assert_allclose(mean, expected[0], atol=1e-12)
    np.testing.assert_allclose(variance, expected[1], atol=1e-12)
    assert n == len(lengths)


def test_mean_of_equal_chunks_is_the_mean_of_all():
    rows = np.random.default_rng(0).normal(size=(6, 8, 3))
    mean, _, _ = run(list(rows))
    np.testing.assert_allclose(mean, rows.mean((0, 1)), atol=1e-12)


def test_variance_of_two_chunks_of_one_row_each():
    """A first chunk of one row has no variance; with the second there is some."""
    _, variance, n = run([np.array([[0.0]]), np.array([[2.0]])])
    assert n == 2
    assert variance == pytest.approx(2.0)  # (2 - 0)^2 / (1 + 1), over 1 + 1 - 1


def test_padding_counts_for_nothing():
    rng = np.random.default_rng(1)
    chunks = [rng.normal(size=(5, 2)) for _ in range(4)]
    real = torch.tensor([[0] * 5, [0, 0, 1, 1, 1], [1] * 5, [1, 1, 0, 0, 0]]).bool()
    got = run(chunks, real=real)
    alone = run([c[r.numpy()] for c, r in zip(chunks, real, strict=True) if r.any()])
    for one, other in zip(got, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_deviation_equals_the_formula():
    rng = np.random.default_rng(2)
    rows, mean, variance = rng.normal(size=(4, 3)), rng.normal(size=3), rng.random(3)
    expected = ((rows - mean) ** 2 / (variance + variance.mean() / 100)).mean(1)
    got = deviation(*(torch.as_tensor(x)[None] for x in (rows, mean, variance)))
    np.testing.assert_allclose(got[0].numpy(), expected, rtol=1e-12)


def test_deviation_where_nothing_varied_is_none():
    rows = torch.ones(1, 4, 3)
    assert (deviation(rows, torch.ones(1, 3), torch.zeros(1, 3)) == 0).all()
