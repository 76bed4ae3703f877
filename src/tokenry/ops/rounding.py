"""What a short floating-point type does to rotary positions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

Stage = Literal["angles", "table", "rows"]
"""Where rounding happens: in position times frequency, in cos and sin, in queries and keys."""


def rounded_rotation(
    x: Float[Tensor, "*b n e"],
    positions: Int[Tensor, " n"],
    inv_freq: Float[Tensor, " f"],
    dtype: torch.dtype,
    rounded: Collection[Stage],
) -> Float[Tensor, "*b n e"]:
    """Rotate rows (half-split layout) with `dtype` in the named stages and float32 in the others.

    "table" with "rows" is what transformers does for a model in `dtype`: angles in float32, cos
    and sin cast, products and sum in `dtype`. "angles" takes position ids and frequencies in
    `dtype` too.
    """
    wide = torch.float32
    at = {stage: dtype if stage in rounded else wide for stage in ("angles", "table", "rows")}
    angle = positions.to(at["angles"]).unsqueeze(-1) * inv_freq.to(at["angles"])
    cos, sin = angle.cos().to(at["table"]), angle.sin().to(at["table"])
    half = len(inv_freq)
    x = x.to(at["rows"])
    first, second, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    turned = (first * cos - second * sin, second * cos + first * sin, rest)
    return torch.cat([part.to(at["rows"]) for part in turned], -1)


def shift_error(
    queries: Float[Tensor, "*b n e"],
    keys: Float[Tensor, "*b n e"],
    inv_freq: Float[Tensor, " f"],
    shift: int,
    dtype: torch.dtype = torch.bfloat16,
    rounded: Collection[Stage] = ("table", "rows"),
) -> Float[Tensor, "*b n n"]:
    r"""How much each attention logit changes when all positions move by the same `shift`.

    $|\ell_{D}(i, j) - \ell_{0}(i, j)|$ with $\ell_D(i,j) = \langle R_{D+i} q_i, R_{D+j} k_j
    \rangle / \sqrt e$; zero in exact arithmetic, because rotary positions are relative.
    The product itself is taken in float32.

    Returns:
        Query by key; NaN where the key comes after the query.

    >>> x = torch.ones(2, 2)
    >>> [shift_error(x, x, torch.ones(1), 5, dtype).nanmean() < 1e-6
    ...  for dtype in (torch.float32, torch.bfloat16)]
    [tensor(True), tensor(False)]
    """
    n, width = queries.shape[-2:]
    logits: list[Tensor] = []
    for start in (0, shift):
        positions = torch.arange(start, start + n, device=queries.device)
        turned = (rounded_rotation(x, positions, inv_freq, dtype, rounded) for x in (queries, keys))
        q, k = (x.to(torch.promote_types(x.dtype, torch.float32)) for x in turned)
        logits.append(q @ k.transpose(-1, -2) / width**0.5)
    later = torch.ones(n, n, dtype=torch.bool, device=queries.device).triu(1)
    return (logits[1] - logits[0]).abs().masked_fill_(later, torch.nan)
