"""Attention weights on demand: all of them, or the one row that a rule needs."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def weights(
    queries: Float[Tensor, "b h q e"],
    keys: Float[Tensor, "b h n e"],
    scale: float,
    bias: Float[Tensor, "b 1 1 n"] | None = None,
) -> Float[Tensor, "b h q n"]:
    r"""Softmax attention weights in float32, $\mathrm{softmax}(s\,QK^\top + \beta)$.

    Args:
        queries: Query rows; pass only those whose weights are needed.
        keys: Key rows.
        scale: Factor before the softmax, usually $1/\sqrt{e}$.
        bias: Added to the score of each key: log size, or minus infinity for padding.
    """
    scores = (queries.float() * scale) @ keys.float().transpose(-1, -2)
    if bias is not None:
        scores += bias
    return scores.softmax(-1)


def class_weights(
    queries: Float[Tensor, "b h n e"],
    keys: Float[Tensor, "b h n e"],
    scale: float,
    bias: Float[Tensor, "b 1 1 n"] | None = None,
    protected: int = 1,
) -> Float[Tensor, "b n"]:
    """How much the class token attends to each row, mean over heads; O(n), not O(n^2).

    An encoder without a class token (`protected == 0`) is asked with its mean query instead.
    """
    probe = queries[:, :, :1] if protected else queries.mean(2, keepdim=True)
    return weights(probe, keys, scale, bias).mean(1).squeeze(1)


def key_bias(
    size: Float[Tensor, "b n 1"], valid: Tensor | None, weigh: bool
) -> Float[Tensor, "b 1 1 n"] | None:
    r"""What is added to the score of each key: log of its size, minus infinity for padding.

    Adding $\log s_j$ equals attention over a sequence that holds key $j$ $s_j$ times.

    Args:
        size: How many original tokens each row stands for.
        valid: False where a row is padding.
        weigh: Whether sizes count.

    Returns:
        The bias, or None when it would be zero everywhere by construction.
    """
    if not weigh and valid is None:
        return None
    bias = size.clamp(min=1).log() if weigh else torch.zeros_like(size)
    if valid is not None:
        bias = bias.masked_fill(~valid.unsqueeze(-1), float("-inf"))
    return bias.squeeze(-1)[:, None, None, :]
