"""Attention on demand: grouped heads, the weights that a rule needs, sums over all queries."""

from __future__ import annotations

from itertools import product

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

_SCORES = 2**20  # scores that exist at once, so that they stay near the processor


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


def by_key_head(x: Shaped[Tensor, "b h *rest"], g: int) -> Shaped[Tensor, "b g r *rest"]:
    """Query heads beside each other that share a key head: head `i` reads key head `i // r`."""
    return x.reshape(x.shape[0], g, -1, *x.shape[2:])


def grouped(x: Float[Tensor, "b h t e"], g: int) -> Float[Tensor, "b g rt e"]:
    """The query heads of each key head below each other, so that no key is copied."""
    return by_key_head(x, g).flatten(2, 3)


def ungrouped(x: Float[Tensor, "b g rt e"], t: int) -> Float[Tensor, "b h t e"]:
    """The opposite of `grouped`."""
    return x.reshape(x.shape[0], -1, t, x.shape[-1])


def attend(
    queries: Float[Tensor, "b h t e"],
    keys: Float[Tensor, "b g s e"],
    values: Float[Tensor, "b g s v"],
    scale: float,
    allowed: Bool[Tensor, "b g t s"] | None = None,
    bias: Float[Tensor, "b g s"] | None = None,
) -> Float[Tensor, "b h t v"]:
    """Attention in which query head `i` reads key head `i // (h // g)`.

    Args:
        queries: Query rows.
        keys: One key per slot.
        values: One value per slot.
        scale: Factor before the softmax.
        allowed: Which query may read which slot; None for all.
        bias: Added to the scores of each key: the log of how many tokens it stands for.
    """
    g, t = keys.shape[1], queries.shape[2]
    heads = queries.shape[1] // g
    mask: Tensor | None = allowed
    if bias is not None:
        mask = bias.unsqueeze(2).to(queries.dtype)
        if allowed is not None:
            mask = torch.where(allowed, mask, float("-inf"))
    if mask is not None:
        mask = mask.expand(-1, -1, t, -1).unsqueeze(2).expand(-1, -1, heads, -1, -1).flatten(2, 3)
    out = scaled_dot_product_attention(grouped(queries, g), keys, values, mask, scale=scale)
    return ungrouped(out, t)


@torch.no_grad()
def column_mass(
    queries: Float[Tensor, "b h t e"],
    keys: Float[Tensor, "b g s e"],
    scale: float,
    allowed: Bool[Tensor, "b g t s"] | None = None,
    real: Bool[Tensor, "b t"] | None = None,
    bias: Float[Tensor, "b g s"] | None = None,
) -> Float[Tensor, "b h s"]:
    r"""Attention that each key gets, summed over the queries: $m_j = \sum_i A_{ij}$.

    One pass of products in chunks of queries; the whole matrix never exists. No gradient flows.

    Args:
        queries: Query rows.
        keys: One key per slot.
        scale: Factor before the softmax.
        allowed: Which query may read which slot; None for causal, the queries being the last.
        real: False where a query is padding and has no say.
        bias: Added to the scores of each key.
    """
    (b, h, t, _), (g, s) = queries.shape, keys.shape[1:3]
    heads = h // g
    mass = queries.new_zeros(b * g, heads, s, dtype=torch.float32)
    columns = keys.float().flatten(0, 1).transpose(-1, -2)
    seen = None if allowed is None else allowed.flatten(0, 1)
    mute = None if real is None else ~real.repeat_interleave(g, 0)
    # Rows fill a chunk before key heads do: a product of many rows keeps all threads busy.
    rows = min(t, max(16, _SCORES // (heads * s)))
    groups = min(b * g, max(1, _SCORES // (heads * rows * s)))
    if t > rows:  # read by many chunks: worth one copy in the order of reading
        columns = columns.contiguous()
    # One piece of memory for all chunks: new pages for each would cost as much as the softmax.
    room = mass.new_empty(groups * heads * rows * s)
    triangle = torch.ones(rows, rows, dtype=torch.bool, device=keys.device).triu(1)
    for first, start in product(range(0, b * g, groups), range(0, t, rows)):
        last, stop = min(first + groups, b * g), min(start + rows, t)
        n, reach = stop - start, s - t + stop if seen is None else s
        flat = room[: (last - first) * heads * n * reach].view(last - first, -1, reach)
        asked = by_key_head(queries, g).flatten(0, 1)[first:last, :, start:stop].float() * scale
        torch.bmm(asked.flatten(1, 2), columns[first:last, :, :reach], out=flat)
        scores = flat.view(-1, heads, n, reach)
        if bias is not None:
            scores += bias.flatten(0, 1)[first:last, None, None, :reach]
        ahead = triangle[:n, :n] if seen is None else ~seen[first:last, None, start:stop]
        scores[..., reach - ahead.shape[-1] :].masked_fill_(ahead, float("-inf"))
        torch.softmax(scores, -1, out=scores)
        if mute is not None:
            # Not a product: the row of a query that reads nothing is NaN.
            scores.masked_fill_(mute[first:last, None, start:stop, None], 0)
        mass[first:last, :, :reach] += scores.sum(-2)
    return mass.view(b, h, s)
