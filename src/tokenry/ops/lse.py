r"""Attention in parts: a block's output with its log-sum-exp, and how two parts become one.

Softmax attention over a set of keys is a weighted mean whose total weight is
$e^{l}$, $l = \log \sum_j e^{s_j}$. Whoever keeps $l$ beside the output can attend to the keys
in any blocks and merge the results exactly.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus

from tokenry.ops.attention import grouped

_ROWS = 512  # queries whose scores exist at once


def attend(
    q: Float[Tensor, "b h t e"],
    k: Float[Tensor, "b g s e"],
    v: Float[Tensor, "b g s e"],
    scale: float,
    mask: Bool[Tensor, "#b #h #t s"] | None = None,
) -> tuple[Float[Tensor, "b h t e"], Float[Tensor, "b h t"]]:
    r"""Attention over one block of keys, and the logarithm of its total weight.

    $l_i = \log \sum_j e^{s q_i \cdot k_j}$, $o_i = \sum_j e^{s q_i \cdot k_j - l_i} v_j$.

    Args:
        q: Queries; `h` is a multiple of `g`, neighbours share a key head.
        k: Keys of this block.
        v: Values of this block.
        scale: Factor before the softmax (paper: $1/\sqrt{e}$).
        mask: True where a query sees a key; None when all do.

    Returns:
        The output in the type of `q`, and the log-sum-exp in float32 (float64 for float64). A
        query that sees no key has output 0 and log-sum-exp minus infinity, and passes gradients
        of 0.

    >>> q = k = v = torch.eye(2).view(1, 1, 2, 2)
    >>> whole, _ = attend(q, k, v, 1.0)
    >>> left, right = (attend(q, x, x, 1.0) for x in (k[:, :, :1], k[:, :, 1:]))
    >>> bool(torch.allclose(merge(*left, *right)[0], whole))
    True
    """
    parts = []
    for rows in _blocks(q.shape[2]):
        scores = _scores(q[:, :, rows], k, scale, _rows_of(mask, rows))
        top = scores.detach().amax(-1, keepdim=True)
        top = top.masked_fill(top.isneginf(), 0)
        weight = (scores - top).exp()
        total = weight.sum(-1)
        some = total.masked_fill(total == 0, 1)
        lse = (top.squeeze(-1) + some.log()).masked_fill(total == 0, float("-inf"))
        out = _spread(weight, v) / some.unsqueeze(-1)
        parts.append((out.to(q.dtype), lse))
    outs, lses = zip(*parts, strict=True)
    return torch.cat(outs, 2), torch.cat(lses, 2)


def merge(
    out: Float[Tensor, "b h t e"],
    lse: Float[Tensor, "b h t"],
    other: Float[Tensor, "b h t e"],
    other_lse: Float[Tensor, "b h t"],
) -> tuple[Float[Tensor, "b h t e"], Float[Tensor, "b h t"]]:
    r"""Attention over the union of two disjoint sets of keys, from attention over each.

    $o \leftarrow o + \sigma(l' - l)(o' - o)$, $l \leftarrow \log(e^{l} + e^{l'})$.

    Args:
        out: Output over the first set.
        lse: Its log-sum-exp; minus infinity where the set is empty.
        other: Output over the second set; taken to the type of `out`.
        other_lse: Its log-sum-exp.

    Returns:
        Output and log-sum-exp over both; where both sets are empty, 0 and minus infinity.
    """
    empty = lse.isneginf() & other_lse.isneginf()
    gap = (other_lse - lse).masked_fill(empty, 0)
    share = gap.sigmoid().unsqueeze(-1).to(out.dtype)
    total = torch.maximum(lse, other_lse) + softplus(-gap.abs())
    return out + share * (other.to(out.dtype) - out), total


def attend_backward(
    grad: Float[Tensor, "b h t e"],
    q: Float[Tensor, "b h t e"],
    k: Float[Tensor, "b g s e"],
    v: Float[Tensor, "b g s e"],
    lse: Float[Tensor, "b h t"],
    delta: Float[Tensor, "b h t"],
    scale: float,
    mask: Bool[Tensor, "#b #h #t s"] | None = None,
) -> tuple[Float[Tensor, "b h t e"], Float[Tensor, "b g s e"], Float[Tensor, "b g s e"]]:
    r"""What one block of keys adds to the gradients of attention over all blocks.

    With $p_{ij} = e^{s q_i \cdot k_j - l_i}$ and $\delta_i = g_i \cdot o_i$:
    $dv_j = \sum_i p_{ij} g_i$, $da_{ij} = p_{ij} (g_i \cdot v_j - \delta_i)$,
    $dq_i = s \sum_j da_{ij} k_j$, $dk_j = s \sum_i da_{ij} q_i$.

    Args:
        grad: Gradient of the output over all blocks.
        q: Queries.
        k: Keys of this block.
        v: Values of this block.
        lse: Log-sum-exp over all blocks, not only this one.
        delta: $\delta$, from the output over all blocks.
        scale: Factor before the softmax.
        mask: As in `attend`.

    Returns:
        This block's share of dq, and all of dk and dv, in the type of `lse`.
    """
    dq, dk, dv = (torch.zeros_like(x, dtype=lse.dtype) for x in (q, k, v))
    lse = lse.masked_fill(lse.isneginf(), 0)
    for rows in _blocks(q.shape[2]):
        part, g = q[:, :, rows], grad[:, :, rows].to(lse.dtype)
        weight = (_scores(part, k, scale, _rows_of(mask, rows)) - lse[:, :, rows, None]).exp()
        inner = grouped(g, v.shape[1]) @ v.to(lse.dtype).transpose(-1, -2)
        slope = scale * weight * (inner.view_as(weight) - delta[:, :, rows, None])
        dq[:, :, rows] = _spread(slope, k)
        dk += grouped(slope, k.shape[1]).transpose(-1, -2) @ grouped(part.to(lse.dtype), k.shape[1])
        dv += grouped(weight, v.shape[1]).transpose(-1, -2) @ grouped(g, v.shape[1])
    return dq, dk, dv


def _scores(q: Tensor, k: Tensor, scale: float, mask: Tensor | None) -> Tensor:
    exact = torch.promote_types(q.dtype, torch.float32)
    scores = (grouped(q, k.shape[1]).to(exact) * scale) @ k.to(exact).transpose(-1, -2)
    scores = scores.view(*q.shape[:3], k.shape[2])
    return scores if mask is None else scores.masked_fill(~mask, float("-inf"))


def _spread(weight: Tensor, v: Tensor) -> Tensor:
    """Weights per query head times rows of the key head that each belongs to."""
    return (grouped(weight, v.shape[1]) @ v.to(weight.dtype)).view(*weight.shape[:3], v.shape[3])


def _blocks(t: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS) for start in range(0, max(t, 1), _ROWS))


def _rows_of(mask: Tensor | None, rows: slice) -> Tensor | None:
    return mask if mask is None or mask.shape[2] == 1 else mask[:, :, rows]
