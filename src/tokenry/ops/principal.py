"""The directions that keep most of the dot products between vectors."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from tokenry.errors import UsageError


def principal(x: Float[Tensor, "n d"], dimension: int) -> Float[Tensor, "d e"]:
    """The projection to fewer dimensions that keeps the dot products of these vectors best.

    The leading eigenvectors of $X^T X$; the mean is not taken off, for then dot products would
    change.

    Args:
        x: Vectors to learn from, at least `dimension` of them.
        dimension: Dimensions that are kept.

    Raises:
        UsageError: If there are too few vectors, or none of their dimensions would go.

    >>> x = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 1, 0]])
    >>> torch.allclose((x @ principal(x, 2)).norm(dim=1), x.norm(dim=1))
    True
    """
    n, d = x.shape
    if not 1 <= dimension <= d or n < dimension:
        raise UsageError(
            f"principal: {dimension} dimensions cannot be learned from {n} vectors of {d}; give at "
            f"least as many vectors, and a dimension from 1 to {d}."
        )
    vectors = x.double()
    directions: Tensor = torch.linalg.eigh(vectors.T @ vectors).eigenvectors
    kept = directions[:, -dimension:].flip(1)
    # The sign of an eigenvector is the solver's whim: the greatest entry shall be positive.
    largest = kept.gather(0, kept.abs().argmax(0, keepdim=True))
    found: Tensor = kept * largest.sign()
    return found.float()
