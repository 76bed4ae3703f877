"""Attention on demand: grouped heads, the weights that a rule needs, sums over all queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

_SCORES = 2**20  # scores that exist at once, so that they stay near the processor


@dataclass(frozen=True, slots=True)
class Weighing:
    r"""How a model makes weights of scores, where that is not the plain softmax.

    Attributes:
        cap: Scores are $c \tanh(x / c)$ (Gemma 2); None for as they are.
        sinks: A learned score for each query head that takes its share of the softmax and gives
            nothing for it (GPT-OSS); None for none.
    """

    cap: float | None = None
    sinks: Float[Tensor, " h"] | None = None


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


def additive(seen: Bool[Tensor, "*b q k"], dtype: torch.dtype) -> Float[Tensor, "*b q k"]:
    """A mask in the form that every attention implementation adds to its scores."""
    return torch.zeros_like(seen, dtype=dtype).masked_fill_(~seen, torch.finfo(dtype).min)


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
    weighing: Weighing | None = None,
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
        weighing: What the model's softmax has beside that.
    """
    (b, h, _, _), (g, s) = queries.shape, keys.shape[1:3]
    mass = queries.new_zeros(b * g, h // g, s, dtype=torch.float32)
    for pairs, _, chunk in _chunks(queries, keys, scale, allowed, real, bias, weighing):
        mass[pairs, :, : chunk.shape[-1]] += chunk.sum(-2)
    return mass.view(b, h, s)


@torch.no_grad()
def attend_and_weigh(
    queries: Float[Tensor, "b h t e"],
    keys: Float[Tensor, "b g s e"],
    values: Float[Tensor, "b g s v"],
    scale: float,
    allowed: Bool[Tensor, "b g t s"] | None = None,
    real: Bool[Tensor, "b t"] | None = None,
    bias: Float[Tensor, "b g s"] | None = None,
) -> tuple[Float[Tensor, "b h t v"], Float[Tensor, "b h s"]]:
    """What `attend` gives and what `column_mass` gives, by one pass of products of both.

    Rows of padding are zero. No gradient flows.

    Args:
        queries: Query rows.
        keys: One key per slot.
        values: One value per slot.
        scale: Factor before the softmax.
        allowed: Which query may read which slot; None for causal, the queries being the last.
        real: False where a query is padding and has no say.
        bias: Added to the scores of each key.
    """
    (b, h, t, _), (g, s, v) = queries.shape, values.shape[1:]
    mass = queries.new_zeros(b * g, h // g, s, dtype=torch.float32)
    out = queries.new_empty(b * g, h // g, t, v)
    read = values.to(_wide(queries)).flatten(0, 1)
    for pairs, rows, chunk in _chunks(queries, keys, scale, allowed, real, bias):
        reach = chunk.shape[-1]
        mass[pairs, :, :reach] += chunk.sum(-2)
        told = chunk.flatten(1, 2) @ read[pairs, :reach]
        out[pairs, :, rows] = told.view(*chunk.shape[:3], v).to(out.dtype)
    return out.view(b, h, t, v), mass.view(b, h, s)


def _wide(queries: Tensor) -> torch.dtype:
    """Weights are summed in single precision at least."""
    return torch.promote_types(queries.dtype, torch.float32)


def _chunks(
    queries: Float[Tensor, "b h t e"],
    keys: Float[Tensor, "b g s e"],
    scale: float,
    allowed: Bool[Tensor, "b g t s"] | None,
    real: Bool[Tensor, "b t"] | None,
    bias: Float[Tensor, "b g s"] | None,
    weighing: Weighing | None = None,
) -> Iterator[tuple[slice, slice, Float[Tensor, "k r q n"]]]:
    """Attention weights piece by piece: pairs of text and key head, queries, and their weights.

    Where queries are causal, slots behind the last of a piece are left out. The next piece takes
    the memory of the one before.
    """
    (b, h, t, _), (g, s) = queries.shape, keys.shape[1:3]
    heads, wide = h // g, _wide(queries)
    columns = keys.to(wide).flatten(0, 1).transpose(-1, -2)
    seen = None if allowed is None else allowed.flatten(0, 1)
    mute = None if real is None else ~real.repeat_interleave(g, 0)
    # Rows fill a chunk before key heads do: a product of many rows keeps all threads busy.
    most = min(t, max(16, _SCORES // (heads * s)))
    groups = min(b * g, max(1, _SCORES // (heads * most * s)))
    if t > most:  # read by many chunks: worth one copy in the order of reading
        columns = columns.contiguous()
    # One piece of memory for all chunks: new pages for each would cost as much as the softmax.
    room = columns.new_empty(groups * heads * most * s)
    triangle = torch.ones(most, most, dtype=torch.bool, device=keys.device).triu(1)
    for first, start in product(range(0, b * g, groups), range(0, t, most)):
        pairs, rows = slice(first, min(first + groups, b * g)), slice(start, min(start + most, t))
        n, reach = rows.stop - start, s - t + rows.stop if seen is None else s
        flat = room[: (pairs.stop - first) * heads * n * reach].view(pairs.stop - first, -1, reach)
        asked = by_key_head(queries, g).flatten(0, 1)[pairs, :, rows].to(wide) * scale
        torch.bmm(asked.flatten(1, 2), columns[pairs, :, :reach], out=flat)
        scores = flat.view(-1, heads, n, reach)
        if weighing is not None and weighing.cap is not None:
            scores.div_(weighing.cap).tanh_().mul_(weighing.cap)
        if bias is not None:
            scores += bias.flatten(0, 1)[pairs, None, None, :reach]
        ahead = triangle[:n, :n] if seen is None else ~seen[pairs, None, rows]
        scores[..., reach - ahead.shape[-1] :].masked_fill_(ahead, float("-inf"))
        _soften(scores, weighing, g, pairs)
        if mute is not None:
            # Not a product: the row of a query that reads nothing is NaN.
            scores.masked_fill_(mute[pairs, None, rows, None], 0)
        yield pairs, rows, scores


def _soften(
    scores: Float[Tensor, "k r q n"], weighing: Weighing | None, g: int, pairs: slice
) -> None:
    """Make weights of scores in place; sinks leave only a share of each softmax to the keys."""
    left = None
    if weighing is not None and weighing.sinks is not None:
        which = torch.arange(pairs.start, pairs.stop, device=scores.device) % g
        sinks = weighing.sinks.to(scores.dtype).view(g, -1)[which]
        left = torch.sigmoid(scores.logsumexp(-1, keepdim=True) - sinks[:, :, None, None])
    torch.softmax(scores, -1, out=scores)
    if left is not None:
        scores *= left
