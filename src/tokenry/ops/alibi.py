"""Attention with linear biases: how far away, instead of which position."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def alibi(heads: int, tokens: int) -> Float[Tensor, "h n n"]:
    r"""What is added to the scores of a bidirectional encoder: $-m_h |i - j|$.

    The slopes are $m_h = 2^{-8 h / H}$ for heads 1 to H. Nothing tells left from right.

    Args:
        heads: H.
        tokens: n.

    Source: Press, Smith and Lewis 2022, section 3; both directions as in DNABERT-2.

    >>> alibi(2, 3)[0]
    tensor([[-0.0000, -0.0625, -0.1250],
            [-0.0625, -0.0000, -0.0625],
            [-0.1250, -0.0625, -0.0000]])
    """
    slopes = 2.0 ** (-8 * torch.arange(1, heads + 1) / heads)
    place = torch.arange(tokens)
    return -slopes[:, None, None] * (place[:, None] - place[None, :]).abs()
