"""Sparsemax against the projection that defines it."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.ops.simplex import sparsemax

NUMBERS = st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=12)


def projected(scores):
    """The nearest point of the simplex: the threshold by bisection."""
    low, high = min(scores) - 1, max(scores)
    for _ in range(200):
        middle = (low + high) / 2
        if sum(max(score - middle, 0) for score in scores) > 1:
            low = middle
        else:
            high = middle
    return [max(score - low, 0) for score in scores]


@settings(deadline=None)
@given(NUMBERS)
def test_is_the_projection_onto_the_simplex(scores):
    found = sparsemax(torch.tensor([scores], dtype=torch.float64))
    assert torch.allclose(found[0], torch.tensor(projected(scores), dtype=torch.float64), atol=1e-9)
    assert found.min() >= 0
    assert abs(float(found.sum()) - 1) < 1e-9


def test_rows_do_not_mix():
    scores = torch.randn(5, 9, generator=torch.Generator().manual_seed(0))
    rows = torch.cat([sparsemax(row[None]) for row in scores])
    assert torch.equal(sparsemax(scores), rows)
    assert (rows == 0).any()
